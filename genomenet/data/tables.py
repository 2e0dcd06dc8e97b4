"""Labelled sequences from tables and from one FASTA file a class, row by row."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import io
import os
import zlib
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from typing import Any, Final, TextIO, cast

from genomenet.data import sources
from genomenet.dna import encode, reader

SEQUENCE: Final = "sequence"
LABEL: Final = "label"
ID: Final = "id"
SPLIT: Final = "split"
SEPARATOR: Final = ";"
"""Of the classes in a label of several."""

_REQUIRED: Final = (SEQUENCE, LABEL)
_GZIP: Final = b"\x1f\x8b"
_DELIMITERS: Final = "\t,;"
_ENDINGS: Final = (".tsv", ".tsv.gz", ".csv", ".csv.gz")
_HEAD: Final = 1 << 16  # letters of a first line that are looked at
_MAX_HEADER: Final = 1 << 20  # letters of a first line
_MAX_LINE: Final = 1 << 25  # letters of any line, and so of a field
_MISSING: Final = frozenset(
    (
        *("", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "nat", "none"),
        *("null", "(null)", "nil", ".", "\\n", "#value!", "#div/0!", "#num!", "#ref!"),
        *("#name?", "#null!"),
    )
)
# What files that are no text begin with.
_MAGIC: Final = (
    (_GZIP, "gzip inside gzip: unpack it once"),
    (b"\xff\xfe", "UTF-16 text: save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text: save it as UTF-8"),
    (b"PK\x03\x04", "a spreadsheet or ZIP file: save it as TSV or CSV"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet of old Excel: save it as TSV or CSV"),
    (b"PAR1", "a Parquet file: save it as TSV or CSV"),
    (b"BZh", "packed with bzip2: unpack it"),
    (b"\xfd7zXZ", "packed with xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it"),
)
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
    kmer: int = 0,
) -> Iterator[Row]:
    """Reads TSV and CSV files, plain or gzip.

    The first line names the columns `sequence`, `label`, and where wanted `id` and
    `split`; others are left alone. It also tells the delimiter: tab, comma or
    semicolon. Fields may be quoted as in spreadsheets. A sequence or label that is
    missing, which programs write as NA, nan, None or null, is an error of its line.

    Args:
        paths: Existing files.
        columns: Name of a column in the file → one of the four names above, where
            they differ.
        may_lack_label: Whether an empty label is allowed.
        kmer: Bases in each of the overlapping k-mers, set apart by blanks, of which
            the sequences are written; they are joined. 0 for plain bases.

    Yields:
        Rows in file order.

    Raises:
        DatasetError: If a file is not usable as it is: one line with the file, the
            line and the cause.
    """
    for path in paths:
        for number, values in read_fields(path, required=_REQUIRED, columns=columns):
            yield _row(values, path, number, may_lack_label, kmer)


def read_sequences(
    paths: Sequence[str],
    *,
    on_error: Callable[[sources.DatasetError], None] | None = None,
) -> Iterator[Row]:
    """Reads the sequences of tables, as `read_tables` does, which need no label.

    Overlapping k-mers, set apart by blanks, are joined.

    Args:
        paths: Existing files.
        on_error: Called with what is wrong with a row, which is then left out,
            instead of raising it. What makes a file unreadable is raised anyway.

    Yields:
        Rows in file order, without label and split.

    Raises:
        DatasetError: If a file is not usable as it is.
    """
    for path in paths:
        lines = read_fields(path, required=[SEQUENCE], on_error=on_error)
        for number, values in lines:
            kept = {k: v for k, v in values.items() if k in (SEQUENCE, ID)}
            words = kept[SEQUENCE].split()
            kmer = len(words[0]) if len(words) > 1 else 0
            try:
                row = _row({**kept, LABEL: ""}, path, number, True, kmer)
            except sources.DatasetError as e:
                (on_error or _refuse)(e)
                continue
            yield row


def read_fields(
    path: str,
    *,
    required: Sequence[str],
    columns: Mapping[str, str] | None = None,
    on_error: Callable[[sources.DatasetError], None] | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Reads the lines of a TSV or CSV file, as `read_tables` does, unchecked.

    Args:
        path: Existing file.
        required: Columns that must be there.
        columns: Name of a column in the file → the name wanted, where they differ;
            upper and lower case are the same.
        on_error: Called with what is wrong with a line, which is then left out,
            instead of raising it.

    Yields:
        Number of a line, from 1, and its fields by column, without blanks at the
        ends.

    Raises:
        DatasetError: If the file is not usable as a table.
    """
    number = 1  # the header
    with opened(path) as text:
        before = csv.field_size_limit(_MAX_LINE)
        try:
            for number, values in _lines(
                text, path, required, columns or {}, on_error or _refuse
            ):
                yield number, values
        except csv.Error as e:
            raise error(path, f"not readable as a table: {e}", number + 1) from None
        finally:
            csv.field_size_limit(before)


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
        if cause := wrong_text(label):
            raise sources.DatasetError(f"class {label!r} {cause}")
        if is_missing(label):
            raise sources.DatasetError(f"class {label!r} says that there is none")
        for record in reader.read(of_class, unique=False):
            yield Row(
                sequence=encode.decode(record.codes),
                label=label,
                id=record.name,
                place=f"{record.source}: record {record.name!r}",
            )


def is_table(path: str) -> bool:
    """Tells a table of sequences from a sequence file.

    Args:
        path: Existing file.

    Returns:
        Whether the first line names a column `sequence`, or the file is called a
        table and does not begin like FASTA. A pipe, which could be read only once,
        is no table.
    """
    if not os.path.isfile(path):
        return False
    try:
        with opened(path) as text:
            first = text.readline(_HEAD)
    except (sources.DatasetError, OSError):
        return False
    if first.startswith(">"):
        return False
    names = first.replace(",", "\t").replace(";", "\t").split("\t")
    is_named = path.lower().endswith(_ENDINGS)
    return is_named or SEQUENCE in [n.strip(' "\r\n').lower() for n in names]


@contextlib.contextmanager
def opened(path: str) -> Generator[TextIO]:
    """Opens a text file, decompressed where its content says so.

    Args:
        path: The file.

    Yields:
        A stream of its text.

    Raises:
        DatasetError: If it cannot be opened, is no text, or is damaged; also later,
            while it is read.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(2)
    except OSError as e:
        raise error(path, e.strerror or str(e)) from None
    open_file = gzip.open if head == _GZIP else open
    try:
        with open_file(path, "rb") as raw:
            stream = io.BufferedReader(cast(io.RawIOBase, raw), _HEAD)
            _check_text(path, stream)
            with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
                yield text
    except UnicodeDecodeError:
        raise error(path, "not a text file in UTF-8") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise error(path, f"truncated or damaged gzip: {e}") from None


def lines(text: TextIO, path: str, number: int = 0) -> Iterator[str]:
    """Yields the lines of a text, none of which may take all memory.

    Args:
        text: Of `opened`.
        path: The file, for errors.
        number: Lines that have been read.

    Yields:
        Lines with their ends.

    Raises:
        DatasetError: If a line is longer than 32 MB.
    """
    while line := text.readline(_MAX_LINE):
        number += 1
        if len(line) == _MAX_LINE:
            raise error(path, f"longer than {_MAX_LINE >> 20} MB", number)
        yield line


def is_missing(text: str) -> bool:
    """Returns whether a text says that there is no value, such as NA, nan or null."""
    return text.strip().casefold() in _MISSING


def wrong_text(text: str) -> str:
    """Returns what is wrong with a name: characters that cannot be seen; or nothing."""
    return "" if text.isprintable() else "holds a control or invisible character"


def unique_columns(own: Collection[str], names: Sequence[str]) -> list[str]:
    """Returns the columns of classes beside others, all different.

    Args:
        own: Other columns.
        names: Of the classes, all different.

    Returns:
        The names; to one that is taken "class_" is added, as often as needed.
    """
    taken = {*own, *names}
    found = []
    for name in names:
        column = name
        if column in own:
            while column in taken:
                column = f"class_{column}"
            taken.add(column)
        found.append(column)
    return found


def _check_text(path: str, stream: Any) -> None:
    """Refuses what is no text by its first bytes."""
    head = stream.peek(_HEAD)[:_HEAD]
    for magic, cause in _MAGIC:
        if head.startswith(magic):
            raise error(path, cause)
    if b"\0" in head:
        few, many = sorted(
            half.count(0) / len(head) for half in (head[::2], head[1::2])
        )
        is_wide = few < 0.1 and many > 0.3
        raise error(path, "UTF-16 text: save it as UTF-8" if is_wide else "no text")


def error(path: str, cause: str, number: int = 0) -> sources.DatasetError:
    """Makes the error for a file.

    Args:
        path: The file.
        cause: What is wrong, in the user's words.
        number: The line, from 1; 0 for none.

    Returns:
        The error.
    """
    return sources.DatasetError(f"{place(path, number) if number else path}: {cause}")


def place(path: str, number: int) -> str:
    """Names a line of a file, for messages."""
    return f"{path}: line {number}"


def column(name: str, columns: Mapping[str, str]) -> str:
    """Returns what a column is for.

    Args:
        name: Its name in a file.
        columns: Names in files → names wanted; upper and lower case may differ.

    Returns:
        The name wanted, or the same name in lower case.
    """
    folded = name.lower()
    return columns.get(name, columns.get(folded, folded))


def split_name(name: str) -> str:
    """Returns the split that a word means, as val or dev; empty for none."""
    return _SPLITS.get(name.lower(), "")


def _refuse(error: sources.DatasetError) -> None:
    raise error


def _lines(
    text: TextIO,
    path: str,
    required: Sequence[str],
    columns: Mapping[str, str],
    on_error: Callable[[sources.DatasetError], None],
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the number of the last line read, and its fields."""
    first = text.readline(_MAX_HEADER)
    if len(first) == _MAX_HEADER:
        raise error(path, f"its first line is longer than {_MAX_HEADER >> 20} MB")
    if not first.strip():
        raise error(path, "empty file" if not first else "its first line is empty")
    if first.startswith(">"):
        cause = "a FASTA file, not a table (genomenet.build_dataset: use class_fasta)"
        raise error(path, cause)
    delimiter = next((d for d in _DELIMITERS if d in first), "\t")
    header = next(csv.reader([first.lstrip("#")], delimiter=delimiter))
    if cause := next(filter(None, map(wrong_text, map(str.strip, header))), ""):
        raise error(path, f"its header {cause}: {_listed(header)}", 1)
    names = [column(name.strip(), columns) for name in header]
    for name in required:
        if names.count(name) != 1:
            cause = (
                f"{names.count(name) or 'no'} column{'s' * (name in names)} {name!r}"
            )
            raise error(path, f"{cause} in its header; found: {_listed(header)}")
    parsed = csv.reader(lines(text, path, 1), delimiter=delimiter, strict=True)
    for fields in parsed:
        number = parsed.line_num + 1  # with the header
        if not fields or (len(fields) == 1 and not fields[0].strip()):
            continue
        if len(fields) != len(names):
            cause = f"{len(fields)} columns, its header has {len(names)}"
            on_error(error(path, cause, number))
            continue
        yield number, dict(zip(names, map(str.strip, fields), strict=True))


def _row(
    values: Mapping[str, str],
    path: str,
    number: int,
    may_lack_label: bool,
    kmer: int,
) -> Row:
    """Checks and normalises a row."""
    sequence, label = values[SEQUENCE], values[LABEL]
    if is_missing(sequence):
        raise error(path, f"empty sequence{_written(sequence)}", number)
    if cause := missing_label(label, may_lack_label):
        raise error(path, cause, number)
    for name in (LABEL, ID):
        if cause := wrong_text(values.get(name, "")):
            raise error(path, f"its {name} {values[name][:40]!r} {cause}", number)
    if kmer:
        sequence = _joined(sequence, kmer, path, number)
    if " " in sequence:
        cause = "blanks inside the sequence: write bases, not k-mers"
        raise error(path, cause, number)
    try:
        codes = encode.encode(sequence, name=SEQUENCE)
    except ValueError as e:
        cause = str(e).removeprefix(f"record {SEQUENCE!r}: ")
        raise error(path, cause, number) from None
    split = ""
    if SPLIT in values:
        split = split_name(values[SPLIT])
        if not split:
            cause = f"split {values[SPLIT]!r} is none of {', '.join(sources.SPLITS)}"
            raise error(path, cause, number)
    return Row(
        sequence=encode.decode(codes),
        label=label,
        id=_identifier(values) or f"{os.path.basename(path)}:{number}",
        split=split,
        place=place(path, number),
    )


def missing_label(label: str, may_be_empty: bool) -> str:
    """Returns what is wrong with a label that is missing; or nothing.

    Args:
        label: As it was written.
        may_be_empty: Whether an empty one is allowed.
    """
    parts = [part.strip() for part in label.split(SEPARATOR) if part.strip()]
    if len(parts) > 1 and any(map(is_missing, parts)):
        return f"empty label in {label[:40]!r}"
    if not is_missing(label) or (may_be_empty and not label):
        return ""
    advice = "; a class of this name has to be called otherwise" if label else ""
    return f"empty label{_written(label)}{advice}"


def _written(text: str) -> str:
    return f" ({text})" if text else ""


def _identifier(values: Mapping[str, str]) -> str:
    """Returns the id of a row, or nothing where it is missing."""
    return "" if is_missing(values.get(ID, "")) else values[ID]


def _joined(sequence: str, kmer: int, path: str, number: int) -> str:
    """Joins overlapping k-mers to bases."""
    words = sequence.split()
    joined = words[0] + "".join([word[-1] for word in words[1:]])
    if [joined[i : i + kmer] for i in range(len(words))] == words:
        return joined
    for i, word in enumerate(words):
        if len(word) != kmer:
            raise error(path, f"{word[:20]!r} is no {kmer}-mer", number)
        if i and words[i - 1][1:] != word[:-1]:
            cause = f"{kmer}-mers {i} and {i + 1} do not overlap: {words[i - 1]} {word}"
            raise error(path, cause, number)
    raise error(path, f"not overlapping {kmer}-mers", number)


def _listed(header: Sequence[str]) -> str:
    """Shows the columns of a header, which may be a row of data."""
    cut = [name[:20] + "…" * (len(name) > 20) for name in header[:8]]
    shown = [name if name.isprintable() else repr(name) for name in cut]
    return ", ".join(shown) + (", …" if len(header) > 8 else "")
