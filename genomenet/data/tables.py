"""Labelled sequences from tables and from one FASTA file a class, row by row."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TextIO

from genomenet.data import sources
from genomenet.dna import encode, reader

SEQUENCE: Final = "sequence"
LABEL: Final = "label"
ID: Final = "id"
SPLIT: Final = "split"

_REQUIRED: Final = (SEQUENCE, LABEL)
_GZIP: Final = b"\x1f\x8b"
_DELIMITERS: Final = "\t,;"
_MAX_FIELD: Final = (1 << 31) - 1  # bytes; Python's own limit is 128 kB
_SPLITS: Final = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One labelled sequence.

    Attributes:
        sequence: Its letters, upper-case `ACGTN`.
        label: Its label as it was written, without blanks at the ends.
        id: Its name.
        split: Name of its split, where the source says so, else empty.
        place: Where it comes from, for messages.
    """

    sequence: bytes
    label: str
    id: str
    split: str = ""
    place: str = ""


def read_tables(
    paths: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    may_lack_label: bool = False,
) -> Iterator[Row]:
    """Reads TSV and CSV files, plain or gzip.

    The first line names the columns `sequence`, `label`, and where wanted `id` and
    `split`; others are left alone. It also tells the delimiter: tab, comma or
    semicolon. Fields may be quoted as in spreadsheets.

    Args:
        paths: Existing files.
        columns: Name of a column in the file → one of the four names above, where
            they differ.
        may_lack_label: Whether an empty label is allowed.

    Yields:
        Rows in file order.

    Raises:
        DatasetError: If a file is not usable as it is: one line with the file, the
            line and the cause.
    """
    for path in paths:
        number = 1  # the header
        try:
            with _opened(path) as text:
                csv.field_size_limit(_MAX_FIELD)
                for number, row in _rows(text, path, columns or {}, may_lack_label):  # noqa: B007
                    yield row
        except UnicodeDecodeError:
            raise _error(path, "not a text file in UTF-8") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as e:
            raise _error(path, f"truncated or damaged gzip: {e}") from None
        except csv.Error as e:
            raise _error(path, f"not readable as a table: {e}", number + 1) from None


def read_classes(paths: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    """Reads sequence files of which each holds one class.

    Args:
        paths: Class → its files, as for `genomenet.dna.reader.read`.

    Yields:
        Rows, class by class.

    Raises:
        SequenceFileError: If a file is not usable as it is.
    """
    for label, of_class in paths.items():
        for record in reader.read(of_class, unique=False):
            yield Row(
                sequence=encode.decode(record.codes),
                label=label,
                id=record.name,
                place=f"{record.source}: record {record.name!r}",
            )


def _opened(path: str) -> TextIO:
    """Opens a table as text, decompressed where its content says so."""
    with open(path, "rb") as file:
        head = file.read(2)
    if head == _GZIP:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def _rows(
    text: TextIO, path: str, columns: Mapping[str, str], may_lack_label: bool
) -> Iterator[tuple[int, Row]]:
    """Yields the number of the last line read, and a row."""
    first = text.readline()
    if not first.strip():
        raise _error(path, "empty file" if not first else "its first line is empty")
    if first.startswith(">"):
        raise _error(path, "a FASTA file: use --fasta or --class_fasta")
    delimiter = next((d for d in _DELIMITERS if d in first), "\t")
    header = next(csv.reader([first], delimiter=delimiter))
    names = [columns.get(name.strip(), name.strip().lower()) for name in header]
    for name in _REQUIRED:
        if names.count(name) != 1:
            cause = (
                f"{names.count(name) or 'no'} column{'s' * (name in names)} {name!r}"
            )
            raise _error(path, f"{cause} in its header; found: {_listed(header)}")
    lines = csv.reader(text, delimiter=delimiter, strict=True)
    for fields in lines:
        number = lines.line_num + 1  # with the header
        if not fields or (len(fields) == 1 and not fields[0].strip()):
            continue
        if len(fields) != len(names):
            cause = f"{len(fields)} columns, its header has {len(names)}"
            raise _error(path, cause, number)
        values = dict(zip(names, map(str.strip, fields), strict=True))
        yield number, _row(values, path, number, may_lack_label)


def _row(
    values: Mapping[str, str], path: str, number: int, may_lack_label: bool
) -> Row:
    """Checks and normalises a row."""
    sequence, label = values[SEQUENCE], values[LABEL]
    if not sequence:
        raise _error(path, "empty sequence", number)
    if not label and not may_lack_label:
        raise _error(path, "empty label", number)
    if " " in sequence:
        cause = "blanks inside the sequence: write bases, not k-mers"
        raise _error(path, cause, number)
    try:
        codes = encode.encode(sequence, name=SEQUENCE)
    except ValueError as e:
        cause = str(e).removeprefix(f"record {SEQUENCE!r}: ")
        raise _error(path, cause, number) from None
    split = ""
    if SPLIT in values:
        split = _SPLITS.get(values[SPLIT].lower(), "")
        if not split:
            cause = f"split {values[SPLIT]!r} is none of {', '.join(sources.SPLITS)}"
            raise _error(path, cause, number)
    return Row(
        sequence=encode.decode(codes),
        label=label,
        id=values.get(ID) or f"{os.path.basename(path)}:{number}",
        split=split,
        place=_place(path, number),
    )


def _listed(header: Sequence[str]) -> str:
    """Shows the columns of a header, which may be a row of data."""
    shown = [name[:20] + "…" * (len(name) > 20) for name in header[:8]]
    return ", ".join(shown) + (", …" if len(header) > 8 else "")


def _place(path: str, number: int) -> str:
    """Names a line of a file."""
    return f"{path}: line {number}"


def _error(path: str, cause: str, number: int = 0) -> sources.DatasetError:
    """Makes the error for a table."""
    return sources.DatasetError(f"{_place(path, number) if number else path}: {cause}")
