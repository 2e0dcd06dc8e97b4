"""Reads labelled sequences row by row, from tables or one FASTA file per class."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

from genomenet.data import sources, text_files
from genomenet.dna import encode, reader

SEQUENCE: Final = "sequence"
LABEL: Final = "label"
ID: Final = "id"
SPLIT: Final = "split"
SEPARATOR: Final = ";"
"""Separates the classes of a multi-label label."""

_REQUIRED: Final = (SEQUENCE, LABEL)
_DELIMITERS: Final = "\t,;"
_ENDINGS: Final = (".tsv", ".tsv.gz", ".csv", ".csv.gz")
_MAX_HEADER: Final = 1 << 20  # characters of a first line
_MISSING: Final = frozenset(
    (
        *("", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "nat", "none"),
        *("null", "(null)", "nil", ".", "\\n", "#value!", "#div/0!", "#num!", "#ref!"),
        *("#name?", "#null!"),
    )
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
        sequence: Letters, upper-case `ACGTN`.
        label: Label as written in the source, without blanks at the ends.
        id: Name of the sequence.
        split: Name of its split, if the source gives one, else empty.
        place: File and line it comes from, for messages.
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

    The first line names the columns `sequence`, `label`, and optionally `id` and
    `split`; others are ignored. It also determines the delimiter: tab, comma or
    semicolon. Fields may be quoted as in spreadsheets. A missing sequence or label,
    also if written as NA, nan, None or null, is an error of its line.

    Args:
        paths: Existing files.
        columns: Name of a column in the file → one of the four names above, if they
            differ.
        may_lack_label: Whether an empty label is allowed.
        kmer: Bases of a k-mer, if sequences are written as overlapping k-mers separated
            by blanks, which are joined; 0 for plain bases.

    Yields:
        Rows in file order.

    Raises:
        DatasetError: If a file is not usable: one line with the file, the line and the
            cause.
    """
    for path in paths:
        for number, values in read_fields(path, required=_REQUIRED, columns=columns):
            yield _row(values, path, number, may_lack_label, kmer)


def read_sequences(
    paths: Sequence[str],
    *,
    on_error: Callable[[sources.DatasetError], None] | None = None,
) -> Iterator[Row]:
    """Reads the sequences of tables as `read_tables` does, but needs no labels.

    Overlapping k-mers, separated by blanks, are joined.

    Args:
        paths: Existing files.
        on_error: Called with the error of a row, which is then skipped, instead of
            raising it. Errors that make a file unreadable are always raised.

    Yields:
        Rows in file order, without label and split.

    Raises:
        DatasetError: If a file is not usable.
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
    """Reads the lines of a TSV or CSV file as `read_tables` does, without its checks.

    Args:
        path: Existing file.
        required: Columns that must be present.
        columns: Name of a column in the file → column type, if they differ; upper and
            lower case are the same.
        on_error: Called with the error of a line, which is then skipped, instead of
            raising it.

    Yields:
        The line number, from 1, and the fields by column type, without blanks at the
        ends.

    Raises:
        DatasetError: If the file is not usable as a table.
    """
    with text_files.opened(path) as text:
        yield from _lines(text, path, required, columns or {}, on_error or _refuse)


def kmer_length(path: str) -> int:
    """Returns the k of the k-mers in the first sequence of a table, or 0."""
    for _, values in read_fields(path, required=(SEQUENCE, LABEL)):
        lengths = {len(word) for word in values[SEQUENCE].split()}
        return lengths.pop() if len(lengths) == 1 and " " in values[SEQUENCE] else 0
    return 0


def read_classes(paths: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    """Reads sequence files, each of which holds one class.

    Args:
        paths: Class → its files, as for `genomenet.dna.reader.read`.

    Yields:
        Rows, class by class.

    Raises:
        SequenceFileError: If a file is not usable.
    """
    for label, class_files in paths.items():
        if cause := wrong_text(label):
            raise sources.DatasetError(f"class {label!r} {cause}")
        if is_missing(label):
            raise sources.DatasetError(
                f"class {label!r} means a missing value: rename it"
            )
        for record in reader.read(class_files, unique=False):
            yield Row(
                sequence=encode.decode(record.codes),
                label=label,
                id=record.name,
                place=f"{record.source}: record {record.name!r}",
            )


def is_table(path: str) -> bool:
    """Returns whether a file is a table of sequences, not a sequence file.

    Args:
        path: Existing file.

    Returns:
        True if the first line names a column `sequence`, or the file has the extension
        of a table and does not begin like FASTA. False for a pipe, which could be read
        only once.
    """
    if not os.path.isfile(path):
        return False
    try:
        with text_files.opened(path) as text:
            first = text.readline(text_files.HEAD)
    except (sources.DatasetError, OSError):
        return False
    if first.startswith(">"):
        return False
    names = first.lstrip("#").replace(",", "\t").replace(";", "\t").split("\t")
    is_named = path.lower().endswith(_ENDINGS)
    return is_named or SEQUENCE in [n.strip(' "\r\n').lower() for n in names]


def is_missing(text: str) -> bool:
    """Returns whether a text stands for a missing value, such as NA, nan or null."""
    return text.strip().casefold() in _MISSING


def wrong_text(text: str) -> str:
    """Returns what is wrong with a name that has invisible characters, else empty."""
    return "" if text.isprintable() else "holds a control or invisible character"


def unique_columns(other: Collection[str], names: Sequence[str]) -> list[str]:
    """Returns names of columns for classes that differ from other columns.

    Args:
        other: Names of the other columns.
        names: Names of the classes, all different.

    Returns:
        The names of the classes; "class_" is put before a name that is taken, as often
        as needed.
    """
    taken = {*other, *names}
    columns = []
    for name in names:
        column = name
        if column in other:
            while column in taken:
                column = f"class_{column}"
            taken.add(column)
        columns.append(column)
    return columns


def column(name: str, columns: Mapping[str, str]) -> str:
    """Returns the type of a column.

    Args:
        name: Name of the column in a file.
        columns: Names in files → column types; upper and lower case may differ.

    Returns:
        The column type, or the name in lower case if it is not in `columns`.
    """
    lower = {written.lower(): type_ for written, type_ in columns.items()}
    return columns.get(name, lower.get(name.lower(), name.lower()))


def split_name(name: str) -> str:
    """Returns the split that a word such as val or dev stands for; empty if none."""
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
    """Yields the number of the last line of each record, and its fields."""
    first = text.readline(_MAX_HEADER)
    if len(first) == _MAX_HEADER:
        cause = f"its first line is longer than {_MAX_HEADER >> 20} MB"
        raise sources.error(path, cause)
    if not first.strip():
        raise sources.error(path, "its first line is empty" if first else "empty file")
    if first.startswith(">"):
        cause = "a FASTA file, not a table (genomenet.build_dataset: use class_fasta)"
        raise sources.error(path, cause)
    delimiter = next((d for d in _DELIMITERS if d in first), "\t")
    parsed = csv.reader([first.lstrip("#")], delimiter=delimiter)
    header = next(_records(parsed, path, 1))
    if cause := next(filter(None, map(wrong_text, map(str.strip, header))), ""):
        raise sources.error(path, f"its header {cause}: {_listed(header)}", 1)
    names = [column(name.strip(), columns) for name in header]
    for name in dict.fromkeys([*required, SEQUENCE, LABEL, ID, SPLIT]):
        times = names.count(name)
        if times > 1 or (name in required and not times):
            cause = f"{times or 'no'} column{'s' * (times > 1)} {name!r} in its header"
            raise sources.error(path, f"{cause}; found: {_listed(header)}")
    rest = text_files.lines(text, path, 1)
    parsed = csv.reader(rest, delimiter=delimiter, strict=True)
    for fields in _records(parsed, path, 2):
        number = parsed.line_num + 1  # with the header
        if not fields or (len(fields) == 1 and not fields[0].strip()):
            continue
        if len(fields) != len(names):
            cause = f"{len(fields)} columns, its header has {len(names)}"
            on_error(sources.error(path, cause, number))
            continue
        yield number, dict(zip(names, map(str.strip, fields), strict=True))


def _records(parsed: Any, path: str, first: int) -> Iterator[list[str]]:
    """Yields the records of a `csv.reader`, which begins at the line `first`.

    The limit on the size of fields, which is one per process, is restored each time.
    """
    record: list[str] | None = []
    while record is not None:
        before = csv.field_size_limit(text_files.MAX_LINE)
        try:
            record = next(parsed, None)
        except csv.Error as e:
            cause = f"not readable as a table: {e}"
            raise sources.error(path, cause, first + parsed.line_num - 1) from None
        finally:
            csv.field_size_limit(before)
        if record is not None:
            yield record


def _row(
    values: Mapping[str, str],
    path: str,
    number: int,
    may_lack_label: bool,
    kmer: int,
) -> Row:
    """Checks and normalises a row."""
    try:
        sequence, split = _checked(values, may_lack_label, kmer)
    except ValueError as e:
        cause = str(e).removeprefix(f"record {SEQUENCE!r}: ")
        raise sources.error(path, cause, number) from None
    return Row(
        sequence=sequence,
        label=values[LABEL],
        id=_identifier(values) or f"{os.path.basename(path)}:{number}",
        split=split,
        place=sources.place(path, number),
    )


def _checked(
    values: Mapping[str, str], may_lack_label: bool, kmer: int
) -> tuple[bytes, str]:
    """Returns the bases and the split of a row; raises ValueError with the cause."""
    sequence, split = values[SEQUENCE], split_name(values.get(SPLIT, ""))
    if is_missing(sequence):
        raise ValueError(f"empty sequence{_written(sequence)}")
    if cause := missing_label(values[LABEL], may_lack_label):
        raise ValueError(cause)
    for name in (LABEL, ID):
        if cause := wrong_text(values.get(name, "")):
            raise ValueError(f"its {name} {values[name][:40]!r} {cause}")
    if kmer:
        sequence = _joined(sequence, kmer)
    if " " in sequence:
        raise ValueError("blanks inside the sequence: write bases, not k-mers")
    codes = encode.encode(sequence, name=SEQUENCE)
    if SPLIT in values and not split:
        known = ", ".join(sources.SPLITS)
        raise ValueError(f"split {values[SPLIT]!r} is none of {known}")
    return encode.decode(codes), split


def missing_label(label: str, may_be_empty: bool) -> str:
    """Returns what is wrong with a missing label, else an empty string.

    Args:
        label: Label as written in the source.
        may_be_empty: Whether an empty label is allowed.
    """
    parts = [part.strip() for part in label.split(SEPARATOR) if part.strip()]
    if len(parts) > 1 and any(map(is_missing, parts)):
        return f"empty label in {label[:40]!r}"
    if not is_missing(label) or (may_be_empty and not label):
        return ""
    advice = "; rename a class of this name" if label else ""
    return f"empty label{_written(label)}{advice}"


def _written(text: str) -> str:
    return f" ({text})" if text else ""


def _identifier(values: Mapping[str, str]) -> str:
    """Returns the id of a row, empty if it is missing."""
    return "" if is_missing(values.get(ID, "")) else values[ID]


def _joined(sequence: str, kmer: int) -> str:
    """Joins overlapping k-mers to bases."""
    words = sequence.split()
    joined = words[0] + "".join([word[-1] for word in words[1:]])
    if [joined[i : i + kmer] for i in range(len(words))] == words:
        return joined
    for i, word in enumerate(words):
        if len(word) != kmer:
            raise ValueError(f"{word[:20]!r} is not a {kmer}-mer")
        if i and words[i - 1][1:] != word[:-1]:
            raise ValueError(
                f"{kmer}-mers {i} and {i + 1} do not overlap: {words[i - 1]} {word}"
            )
    raise ValueError(f"not overlapping {kmer}-mers")


def _listed(header: Sequence[str]) -> str:
    """Lists the columns of a header, which may be a row of data."""
    shortened = [name[:20] + "…" * (len(name) > 20) for name in header[:8]]
    shown = [name if name.isprintable() else repr(name) for name in shortened]
    return ", ".join(shown) + (", …" if len(header) > 8 else "")
