"""JSON files, read strictly: what is wrong is one line that names the file."""

from __future__ import annotations

import json
import math
import os
import pathlib
from typing import Any, Final

_MOST_BYTES: Final = 64 << 20
_POINTER: Final = b"version https://git-lfs"
_MOST_DIGITS: Final = 300  # of an integer, so that it is a finite number, too


def read(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file.

    Args:
        path: The file, in UTF-8.

    Returns:
        Its content. Every number in it is finite and every string can be written.

    Raises:
        ValueError: If it cannot be read, is not JSON, names a key twice, nests too
            deeply, or holds NaN, an infinite or huge number or half a character.
    """
    path = pathlib.Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as e:
        raise ValueError(f"{path} cannot be read: {e.strerror}") from e
    refuse_pointer(path, text)
    if len(text) > _MOST_BYTES:
        raise ValueError(f"{path} is not JSON of this package: more than 64 MiB")
    try:
        return loads(text.decode("utf-8-sig"))
    except ValueError as e:
        raise ValueError(f"{path} is not JSON: {e}") from e


def read_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a JSON file that holds an object.

    Args:
        path: The file.

    Returns:
        Its keys and values.

    Raises:
        ValueError: As `read`, and if it holds anything else.
    """
    content = read(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object")
    return content


def refuse_pointer(path: str | os.PathLike[str], start: bytes) -> None:
    """Refuses a file that stands for another one, in a clone without Git LFS.

    Args:
        path: The file, for the error.
        start: Its first bytes, 32 or more.

    Raises:
        ValueError: If it does.
    """
    if start.startswith(_POINTER):
        raise ValueError(
            f"{path} is a Git LFS pointer: fetch the file itself (git lfs pull)"
        )


def loads(text: str) -> Any:
    """Reads JSON from a string, as `read` does from a file.

    Args:
        text: The JSON.

    Returns:
        Its content.

    Raises:
        ValueError: As `read`.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} is there twice")
        for text in (key, *(value if isinstance(value, list) else [value])):
            if isinstance(text, str):
                _check_text(key, text)
        found[key] = value
    return found


def _check_text(key: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{key!r} holds half a character: {short(text)}") from None


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _int(text: str) -> int:
    if len(text.lstrip("-")) > _MOST_DIGITS:
        raise ValueError(f"the number {text[:20]}… is too large")
    return int(text)


def short(value: Any) -> str:
    """Returns a value as an error shows it: on one line, not too long."""
    text = printable(repr(value))
    return text if len(text) <= 60 else f"{text[:57]}…"


def printable(text: str) -> str:
    """Returns text with control characters and halves of characters written out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
