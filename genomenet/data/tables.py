"""Labelled sequences from tables and from one FASTA file a class, row by row."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, TextIO

from genomenet.data import sources, text_files
from genomenet.dna import encode, reader

SEQUENCE: Final = "sequence"
LABEL: Final = "label"
ID: Final = "id"
SPLIT: Final = "split"
SEPARATOR: Final = ";"
"""Of the classes in a label of several."""

_REQUIRED: Final = (SEQUENCE, LABEL)
_DELIMITERS: Final = "\t,;"
_ENDINGS: Final = (".tsv", ".tsv.gz", ".csv", ".csv.gz")
_MAX_HEADER: Final = 1 << 20  # letters of a first line
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
    with text_files.opened(path) as text:
        try:
            for number, values in _lines(
                text, path, required, columns or {}, on_error or _refuse
            ):
                yield number, values
        except csv.Error as e:
            cause = f"not readable as a table: {e}"
            raise sources.error(path, cause, number + 1) from None


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
        with text_files.opened(path) as text:
            first = text.readline(text_files.HEAD)
    except (sources.DatasetError, OSError):
        return False
    if first.startswith(">"):
        return False
    names = first.replace(",", "\t").replace(";", "\t").split("\t")
    is_named = path.lower().endswith(_ENDINGS)
    return is_named or SEQUENCE in [n.strip(' "\r\n').lower() for n in names]


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


def column(name: str, columns: Mapping[str, str]) -> str:
    """Returns what a column is for.

    Args:
        name: Its name in a file.
        columns: Names in files → names wanted; upper and lower case may differ.

    Returns:
        The name wanted, or the same name in lower case.
    """
    return columns.get(name, columns.get(name.lower(), name.lower()))


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
        cause = f"its first line is longer than {_MAX_HEADER >> 20} MB"
        raise sources.error(path, cause)
    if not first.strip():
        raise sources.error(path, "its first line is empty" if first else "empty file")
    if first.startswith(">"):
        cause = "a FASTA file, not a table (genomenet.build_dataset: use class_fasta)"
        raise sources.error(path, cause)
    delimiter = next((d for d in _DELIMITERS if d in first), "\t")
    header = next(_records(csv.reader([first.lstrip("#")], delimiter=delimiter)))
    if cause := next(filter(None, map(wrong_text, map(str.strip, header))), ""):
        raise sources.error(path, f"its header {cause}: {_listed(header)}", 1)
    names = [column(name.strip(), columns) for name in header]
    for name in required:
        if (times := names.count(name)) != 1:
            cause = f"{times or 'no'} column{'s' * (times > 1)} {name!r} in its header"
            raise sources.error(path, f"{cause}; found: {_listed(header)}")
    rest = text_files.lines(text, path, 1)
    parsed = csv.reader(rest, delimiter=delimiter, strict=True)
    for fields in _records(parsed):
        number = parsed.line_num + 1  # with the header
        if not fields or (len(fields) == 1 and not fields[0].strip()):
            continue
        if len(fields) != len(names):
            cause = f"{len(fields)} columns, its header has {len(names)}"
            on_error(sources.error(path, cause, number))
            continue
        yield number, dict(zip(names, map(str.strip, fields), strict=True))


def _records(parsed: Iterator[list[str]]) -> Iterator[list[str]]:
    """Yields records; the limit of their fields, which a process has, is put back."""
    record: list[str] | None = []
    while record is not None:
        before = csv.field_size_limit(text_files.MAX_LINE)
        try:
            record = next(parsed, None)
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


def _joined(sequence: str, kmer: int) -> str:
    """Joins overlapping k-mers to bases."""
    words = sequence.split()
    joined = words[0] + "".join([word[-1] for word in words[1:]])
    if [joined[i : i + kmer] for i in range(len(words))] == words:
        return joined
    for i, word in enumerate(words):
        if len(word) != kmer:
            raise ValueError(f"{word[:20]!r} is no {kmer}-mer")
        if i and words[i - 1][1:] != word[:-1]:
            raise ValueError(
                f"{kmer}-mers {i} and {i + 1} do not overlap: {words[i - 1]} {word}"
            )
    raise ValueError(f"not overlapping {kmer}-mers")


def _listed(header: Sequence[str]) -> str:
    """Shows the columns of a header, which may be a row of data."""
    cut = [name[:20] + "…" * (len(name) > 20) for name in header[:8]]
    shown = [name if name.isprintable() else repr(name) for name in cut]
    return ", ".join(shown) + (", …" if len(header) > 8 else "")
