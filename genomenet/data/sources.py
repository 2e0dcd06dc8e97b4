"""Source files of a dataset: names for messages, fingerprints and splits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from genomenet.dna import files

SPLITS: Final = ("train", "validation", "test")


class DatasetError(ValueError):
    """A dataset that cannot be built or found. The message is one line."""


def error(path: str, cause: str, number: int = 0) -> DatasetError:
    """Returns an error about a file, or about a line of it, counted from 1."""
    return DatasetError(f"{place(path, number) if number else path}: {cause}")


def place(path: str, number: int) -> str:
    """Returns the name of a line of a file, for messages."""
    return f"{path}: line {number}"


def cause(error: BaseException) -> str:
    """Returns the message of another library's error, as one line of plain text.

    Args:
        error: The error; its text may quote a damaged file.

    Returns:
        The first line, without control characters, or the name of the error's class.
    """
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return "".join(c if c.isprintable() else "?" for c in line)


def shown(paths: Sequence[str]) -> str:
    """Returns a short name of files, for messages.

    Args:
        paths: Files as the user wrote them.

    Returns:
        The first file, and the number of further files.
    """
    first = files.shown(paths[0])
    more = len(paths) - 1
    return first if not more else f"{first} and {more} more file{'s' * (more > 1)}"


def fingerprints(paths: Sequence[str]) -> list[dict[str, Any]]:
    """Describes files independently of their folder, so that they can be recognised.

    Args:
        paths: Existing files. Standard input is described by its name only.

    Returns:
        Base name, size in bytes and SHA-256 of each file.
    """
    result = []
    for path in paths:
        if path == files.STDIN:
            result.append({"file": files.shown(path)})
            continue
        name, size = os.path.basename(path), os.path.getsize(path)
        result.append({"file": name, "bytes": size, "sha256": sha256(path)})
    return result


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_splits(text: str) -> dict[str, float]:
    """Parses the shares of train, validation and test.

    Args:
        text: Percentages in this order, joined by slashes: `90/5/5`, `90/10`, `100`.

    Returns:
        Share of each split, in percent.

    Raises:
        DatasetError: If these are not one to three positive numbers that add up to
            100.
    """
    try:
        shares = [float(part) for part in text.split("/")]
    except ValueError:
        shares = []
    if not 1 <= len(shares) <= len(SPLITS) or not all(share > 0 for share in shares):
        raise DatasetError(
            f"splits={text}: write the percentages of train, validation and test, "
            "as in 90/5/5, 90/10 (no test) or 100 (train only)"
        )
    if abs(sum(shares) - 100) > 0.5:
        raise DatasetError(f"splits={text} adds up to {sum(shares):g}, not to 100")
    return dict(zip(SPLITS, shares, strict=False))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describes the options in which two datasets differ.

    Args:
        old: Metadata of a prepared dataset.
        new: Options, and sources if they matter, of the requested dataset.

    Returns:
        One phrase for each difference.
    """
    phrases = []
    for key, value in new.items():
        if key == "sources" and any("sha256" not in source for source in value):
            phrases.append("perhaps other sequences than those on standard input")
        elif old.get(key) == value:
            continue
        elif key == "sources":
            phrases.append("other source files")
        else:
            phrases.append(f"{key} {old.get(key, 'unknown')}, now {value}")
    return phrases
