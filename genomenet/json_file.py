"""Reads JSON files strictly, with one-line errors that name the file."""

from __future__ import annotations

import json
import math
import os
import pathlib
from typing import Any, Final

_MOST_BYTES: Final = 64 << 20
_POINTER: Final = b"version https://git-lfs"
_MOST_DIGITS: Final = 300  # of an integer, so that it is finite as a float


def read(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file.

    Args:
        path: The file, in UTF-8.

    Returns:
        Its content. Every number is finite and every string can be encoded as UTF-8.

    Raises:
        ValueError: If the file cannot be read, is not JSON, repeats a key, is nested
            too deeply, or contains NaN, an infinite or huge number, or an unpaired
            surrogate.
    """
    path = pathlib.Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as e:
        raise ValueError(f"{path} cannot be read: {e.strerror}") from e
    refuse_pointer(path, text)
    if len(text) > _MOST_BYTES:
        raise ValueError(
            f"{path} is larger than 64 MiB, the limit for JSON files of this package"
        )
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
        ValueError: As `read`, or if the content is not an object.
    """
    content = read(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object")
    return content


def refuse_pointer(path: str | os.PathLike[str], start: bytes) -> None:
    """Raises if a file is a Git LFS pointer instead of the file itself.

    Args:
        path: The file, for the error.
        start: Its first bytes, 32 or more.

    Raises:
        ValueError: If the file is a pointer.
    """
    if start.startswith(_POINTER):
        raise ValueError(
            f"{path} is a Git LFS pointer: fetch the file itself (git lfs pull)"
        )


def loads(text: str) -> Any:
    """Parses JSON from a string as strictly as `read` does.

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
        raise ValueError("it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for key, value in pairs:
        if key in parsed:
            raise ValueError(f"the key {key!r} occurs twice")
        for text in (key, *(value if isinstance(value, list) else [value])):
            if isinstance(text, str):
                _check_text(key, text)
        parsed[key] = value
    return parsed


def _check_text(key: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{key!r} contains an unpaired surrogate: {short(text)}"
        ) from None


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a finite number")


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
    """Returns a value for an error message: on one line, at most 60 characters."""
    text = printable(repr(value))
    return text if len(text) <= 60 else f"{text[:57]}…"


def printable(text: str) -> str:
    """Returns text with control characters and unpaired surrogates escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
