"""Damage to files, drawn from a seed: bytes, lines, numbers and JSON values."""

import copy
import json
import random
import re

TOKENS = (
    *(b"\0", b"\n", b"\r\n", b"\t", b" ", b'"', b",", b";", b">", b"#", b"\x1b[2J"),
    *(b"N", b"nan", b"NA", b"-1", b"0", b"1e999", b"99999999999999999999", b"\xff"),
    *(
        b"\xc3\x28",
        b"\xe2\x80\xae",
        b"\x1f\x8b",
        b"PK\x03\x04",
        b"//\n",
        b"\xef\xbb\xbf",
    ),
)
VALUES = (
    *(None, True, False, 0, -1, 2, 0.5, 1e308, 10**12, 10**400, float("nan")),
    *("", "0", "x" * 1000, "\x1b[2J", "\ud800", "../..", [], [[[]]], [1], {}, {"a": 1}),
)
_NUMBER = re.compile(rb"\d+")


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Returns the bytes with one to three things wrong."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = draw.choice(_KINDS)(data, draw)
    return data


def damaged_json(data: bytes, draw: random.Random) -> bytes:
    """Returns the JSON with one value replaced, removed, added or twice."""
    content = copy.deepcopy(json.loads(data))
    parents = [node for node in _nodes(content) if node]
    parent = draw.choice(parents)
    key = draw.choice(
        sorted(parent) if isinstance(parent, dict) else range(len(parent))
    )
    kind = draw.randrange(4)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[draw.choice(("extra", "", "\n", "__class__"))] = draw.choice(VALUES)
    elif kind == 2 and isinstance(parent[key], (int, float)):
        parent[key] = draw.choice((-parent[key], parent[key] + 1, parent[key] * 10**6))
    else:
        parent[key] = draw.choice(VALUES)
    return json.dumps(content).encode()


def _nodes(value):
    """Yields all dicts and lists of a JSON value."""
    if isinstance(value, (dict, list)):
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from _nodes(part)


def _stretch(data, draw):
    """Draws where a piece begins and ends, mostly a short one."""
    start = draw.randrange(len(data) + 1)
    return start, min(len(data), start + int(draw.expovariate(1 / 40)))


def _flip(data, draw):
    if not data:
        return data
    at = draw.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def _delete(data, draw):
    start, end = _stretch(data, draw)
    return data[:start] + data[end:]


def _repeat(data, draw):
    start, end = _stretch(data, draw)
    return data[:end] + data[start:end] * draw.choice((1, 1, 50)) + data[end:]


def _move(data, draw):
    start, end = _stretch(data, draw)
    piece, rest = data[start:end], data[:start] + data[end:]
    at = draw.randrange(len(rest) + 1)
    return rest[:at] + piece + rest[at:]


def _cut(data, draw):
    return data[: draw.randrange(len(data) + 1)]


def _insert(data, draw):
    at = draw.randrange(len(data) + 1)
    return data[:at] + draw.choice(TOKENS) + data[at:]


def _overwrite(data, draw):
    start, end = _stretch(data, draw)
    return data[:start] + draw.randbytes(end - start) + data[end:]


def _number(data, draw):
    places = list(_NUMBER.finditer(data[:100_000]))
    if not places:
        return _flip(data, draw)
    place = draw.choice(places)
    new = draw.choice((b"0", b"-1", b"1.5", b"1e9", b"4294967296", b"", b"nan", b"007"))
    return data[: place.start()] + new + data[place.end() :]


def _lines(data, draw):
    lines = data.splitlines(keepends=True)
    if len(lines) < 2:
        return _flip(data, draw)
    a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


_KINDS = (
    *(_flip, _delete, _repeat, _move, _cut, _insert, _insert, _overwrite, _number),
    _lines,
)
