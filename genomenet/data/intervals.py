"""Intervals of a genome, as in BED files: read, and cut from it."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from genomenet.data import sources, tables
from genomenet.dna import encode, reader

REGION: Final = "region"
START: Final = "start"
END: Final = "end"
STRAND: Final = "strand"
_REQUIRED: Final = (REGION, START, END)
REGIONS: Final = {name: REGION for name in ("chrom", "chromosome", "contig")}
_FORWARD: Final = ("+", ".", "")
_REVERSE: Final = "-"
_FEW_NAMES: Final = 5  # intervals below which each may have a label of its own
_NARROW_PEAK: Final = 10  # columns
_SUMMIT: Final = "summit"
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|")
_NO_DATA: Final = ("track", "browser")  # first words of lines for genome browsers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A labelled stretch of a contig.

    Attributes:
        contig: Name of the contig.
        start: Its first base, from 0.
        end: The base after its last.
        is_reverse: Whether it is read on the other strand.
        label: Its label as it was written.
        split: Name of its split, where the source says so, else empty.
        place: Where it comes from, for messages.
        summit: Of narrowPeak, the base of the summit, counted from the start.
    """

    contig: str
    start: int
    end: int
    is_reverse: bool
    label: str
    split: str
    place: str
    summit: int | None = None


def read(
    path: str,
    *,
    columns: Mapping[str, str] = REGIONS,
    label: str | None = None,
    split: str = "",
    label_column: int | None = None,
) -> Iterator[Interval]:
    """Reads a file of intervals, BED or a table with a header.

    Args:
        path: Existing file, plain or gzip.
        columns: Name of a column in a table → region, start, end, strand, label or
            split, where they differ.
        label: Label of all intervals; None for those in the file, or where
            `is_unnamed` its name up to the first dot.
        split: Split of all intervals for which the file names none.
        label_column: Of BED, the column with the label, from 1, instead of the fourth.

    Yields:
        Intervals in file order.

    Raises:
        DatasetError: If the file is not usable as it is: one line with the file, the
            line and the cause.
    """
    if _is_table(path, columns):
        lines = tables.read_fields(path, required=_REQUIRED, columns=columns)
    else:
        lines = _bed(path, label_column)
    if label is None and label_column is None and is_unnamed(path, columns):
        label = os.path.basename(path).split(".")[0]
    for number, values in lines:
        start, end = (_whole(values[key], key, path, number) for key in (START, END))
        if start >= end:
            cause = f"start {start} is not before end {end}"
            raise tables.error(path, cause, number)
        strand = values.get(STRAND, "")
        if strand not in (*_FORWARD, _REVERSE):
            raise tables.error(path, f"strand {strand!r} is none of + - .", number)
        own = values.get(tables.SPLIT, "")
        if own and not tables.split_name(own):
            cause = f"split {own!r} is none of {', '.join(sources.SPLITS)}"
            raise tables.error(path, cause, number)
        name = values.get(tables.LABEL, "") if label is None else label
        if cause := tables.wrong_text(name):
            raise tables.error(path, f"its label {name[:40]!r} {cause}", number)
        yield Interval(
            contig=values[REGION],
            start=start,
            end=end,
            is_reverse=strand == _REVERSE,
            label=name,
            split=tables.split_name(own) or split,
            place=tables.place(path, number),
            summit=_summit(values, end - start, path, number),
        )


def cut(
    found: Iterator[Interval],
    genome: Sequence[str],
    *,
    may_lack_label: bool = False,
) -> Iterator[tables.Row]:
    """Cuts intervals from a genome, one contig in memory at a time.

    Args:
        found: Intervals, all of which are held.
        genome: Sequence files; they are read up to the last contig that is needed.
        may_lack_label: Whether an empty label is allowed.

    Yields:
        Rows by contigs as they come in the genome, and within one in their order.

    Raises:
        DatasetError: If a contig is not in the genome, an interval ends beyond it,
            or a label is empty: one line with the file, the line and the cause.
        SequenceFileError: If the genome is not usable as it is.
    """
    of_contig: dict[str, list[Interval]] = {}
    for one in found:
        if cause := tables.missing_label(one.label, may_lack_label):
            raise sources.DatasetError(f"{one.place}: {cause}")
        of_contig.setdefault(one.contig, []).append(one)
    seen: list[str] = []
    for record in reader.read(genome):
        seen.append(record.name)
        for one in of_contig.pop(record.name, ()):
            yield _row(one, record)
        del record  # else it would live while the next one is read
        if not of_contig:
            return
    for missing in of_contig.values():
        raise _unknown(missing[0], genome, seen)


def _row(one: Interval, record: reader.Record) -> tables.Row:
    """Cuts one interval."""
    if one.end > record.codes.size:
        raise sources.DatasetError(
            f"{one.place}: end {one.end} is beyond {one.contig}, which has "
            f"{record.codes.size} bases in {record.source}"
        )
    codes = record.codes[one.start : one.end]
    if one.is_reverse:
        codes = encode.reverse_complement(codes)
    return tables.Row(
        sequence=encode.decode(codes),
        label=one.label,
        id=f"{one.contig}:{one.start}-{one.end}{'(-)' * one.is_reverse}",
        split=one.split,
        place=one.place,
    )


def _unknown(
    one: Interval, genome: Sequence[str], seen: Sequence[str]
) -> sources.DatasetError:
    """Makes the error for a contig that the genome lacks."""
    bare = one.contig.removeprefix("chr")
    other = bare if bare != one.contig else f"chr{bare}"
    if other in seen:
        advice = f"it has {other!r}; use the same names in both"
    else:
        advice = f"it has {', '.join(seen[:5])}{', …' * (len(seen) > 5)}"
    return sources.DatasetError(
        f"{one.place}: contig {one.contig!r} is not in {sources.shown(genome)}: "
        f"{advice}"
    )


def is_unnamed(
    path: str | os.PathLike[str], columns: Mapping[str, str] = REGIONS
) -> bool:
    """Returns whether a file of intervals holds no labels.

    Args:
        path: Existing file.
        columns: As for `read`.

    Returns:
        Of a table whether it lacks the column; of BED whether names are missing in all
        lines, or most lines have a name of their own.

    Raises:
        DatasetError: If the file is not usable as it is.
    """
    path = os.fspath(path)
    if _is_table(path, columns):
        with tables.opened(path) as text:
            return tables.LABEL not in _header(text.readline(), columns)
    names = [values.get(tables.LABEL, "") for _, values in _bed(path)]
    named = [name for name in names if not tables.is_missing(name)]
    if not named:
        return True
    different = len(set(named))
    return len(named) >= _FEW_NAMES and 2 * different >= len(named)


def _header(line: str, columns: Mapping[str, str]) -> list[str]:
    """Returns the columns that a first line names."""
    line = line.strip().lstrip("#")
    for sign in "\t,;":
        line = line.replace(sign, " ")
    return [tables.column(name.strip('"'), columns) for name in line.split()]


def _is_table(path: str, columns: Mapping[str, str]) -> bool:
    """Returns whether the first line names columns, and not those of BED."""
    with tables.opened(path) as text:
        names = _header(text.readline(), columns)
    return START in names and END in names and not _is_bed(names)


def _is_bed(names: Sequence[str]) -> bool:
    """Returns whether columns are those of BED, in its order."""
    own = [{"chromstart": START, "chromend": END}.get(name, name) for name in names]
    expected = [*_REQUIRED, "name", "score", STRAND]
    return len(own) >= len(_REQUIRED) and all(
        name == wanted for name, wanted in zip(own, expected, strict=False)
    )


def _bed(
    path: str, label_column: int | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the number of a line of a BED file, from 1, and its fields."""
    names = (*_REQUIRED, tables.LABEL, "score", STRAND)
    with tables.opened(path) as text:
        for number, line in enumerate(tables.lines(text, path), 1):
            words = line.split()
            if not words or words[0] in _NO_DATA or words[0].startswith("#"):
                continue
            fields = line.split("\t") if "\t" in line else words
            if len(fields) < len(_REQUIRED):
                cause = f"{len(fields)} columns; BED has chrom, start, end, …"
                raise tables.error(path, cause, number)
            values: dict[str, str]
            values = dict(zip(names, map(str.strip, fields), strict=False))
            if len(fields) == _NARROW_PEAK:
                values[_SUMMIT] = fields[-1].strip()
            if number == 1 and _is_bed(_header(line, REGIONS)):
                continue
            if values.get(tables.LABEL) in ("+", "-"):
                cause = f"name {values[tables.LABEL]!r}; BED has the strand in column 6"
                raise tables.error(path, cause, number)
            score = values.get("score", ".")
            if score != "." and not _NUMBER.fullmatch(score):
                cause = f"score {score!r} is no number; BED has the strand in column 6"
                raise tables.error(path, cause, number)
            if label_column is not None:
                if not len(_REQUIRED) < label_column <= len(fields):
                    cause = f"{len(fields)} columns, and no label_column={label_column}"
                    raise tables.error(path, cause, number)
                values[tables.LABEL] = fields[label_column - 1].strip()
            yield number, values


def _summit(
    values: Mapping[str, str], length: int, path: str, number: int
) -> int | None:
    """Reads the summit of narrowPeak, -1 where there is none."""
    text = values.get(_SUMMIT, "-1")
    if text == "-1":
        return None
    summit = _whole(text, _SUMMIT, path, number)
    if summit >= length:
        cause = f"summit {summit} is beyond an interval of {length} bases"
        raise tables.error(path, cause, number)
    return summit


def _whole(text: str, name: str, path: str, number: int) -> int:
    """Reads a position."""
    if not (text.isascii() and text.isdigit()):
        cause = f"{name} {text!r} is not a whole number from 0 on"
        raise tables.error(path, cause, number)
    return int(text)
