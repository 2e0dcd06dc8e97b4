"""Intervals of a genome, as in BED files: read, and cut from it."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from genomenet.data import sources, tables, text_files
from genomenet.dna import encode, files, reader
from genomenet.dna import genome as genome_lib

REGION: Final = "region"
START: Final = "start"
END: Final = "end"
STRAND: Final = "strand"
_REQUIRED: Final = (REGION, START, END)
REGIONS: Final = {name: REGION for name in ("chrom", "chromosome", "contig")}
_FORWARD: Final = ("+", ".", "")
_REVERSE: Final = "-"
_BED: Final = (".bed", ".narrowpeak", ".broadpeak")
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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Record(reader.Record):
    """The sequence of an interval.

    Attributes:
        contig: Its contig, as the genome names it.
        start: Its first base on the forward strand, from 0; below 0 where a width
            reaches beyond the contig.
        is_reverse: Whether it is read on the other strand.
    """

    contig: str
    start: int
    is_reverse: bool


def is_bed(path: str | os.PathLike[str]) -> bool:
    """Returns whether a file is one of intervals by its name."""
    return os.fspath(path).lower().removesuffix(".gz").endswith(_BED)


def check(
    paths: Sequence[str | os.PathLike[str]],
    genome: str | Sequence[str] | None,
    width: int | None = None,
) -> None:
    """Checks that intervals have a genome, and sequences none.

    Args:
        paths: What is read.
        genome: As for `read_records`.
        width: As for `read_records`.

    Raises:
        ValueError: If that is not so.
    """
    if genome is not None:
        if "-" in paths:
            raise ValueError("intervals are read from files, not from standard input")
        if width is not None and width < 1:
            raise ValueError(f"width={width} must be at least 1 base")
        return
    if width is not None:
        raise ValueError("a width goes with intervals: give their genome, too")
    for path in filter(is_bed, paths):
        path = os.fspath(path)
        raise files.error(path, "it holds intervals: give their genome, too")


def name(contig: str, start: int, end: int, is_reverse: bool) -> str:
    """Returns the name of a stretch: `chr1:100-300`, or `chr1:100-300(-)`."""
    return f"{contig}:{start}-{end}{'(-)' * is_reverse}"


def around(one: Interval, width: int | None) -> tuple[int, int]:
    """Returns start and end of a width around the summit, or else the middle.

    Args:
        one: The interval.
        width: Bases; None takes the interval as it is.
    """
    if width is None:
        return one.start, one.end
    middle = (one.start + one.end) // 2
    start = (middle if one.summit is None else one.start + one.summit) - width // 2
    return start, start + width


def read_records(
    paths: str | Sequence[str],
    *,
    genome: str | Sequence[str] | None = None,
    width: int | None = None,
    unique: bool = True,
    on_error: Callable[[ValueError], None] | None = None,
) -> Iterator[reader.Record]:
    """Reads sequence files, or intervals of a genome.

    Of a genome the contigs that are needed are held at 2 bits a base; their names may
    lack `chr` or have it.

    Args:
        paths: As for `dna.reader.read`; with a genome files of intervals, as for
            `read`.
        genome: Sequence files with the contigs; None if `paths` are sequences.
        width: Bases around the summit or else the middle of each interval, where
            those beyond the end of its contig are N; None takes it as it is.
        unique: Of sequence files, whether a name may come but once.
        on_error: Called with the error of a record that is not usable, or an interval
            that its genome lacks, which is then left out; None raises it.

    Yields:
        Records in their order; of intervals `Record`, by the name `chr1:100-300`, with
        `(-)` behind it on that strand, of which the bases are the reverse complement.

    Raises:
        ValueError: If a file is not usable as it is.
    """
    given = [paths] if isinstance(paths, str) else list(paths)
    contigs = [genome] if isinstance(genome, str) else genome
    check(given, contigs, width)
    if contigs is None:
        yield from reader.read(given, unique=unique, on_error=on_error)
        return
    found = []
    for path in reader.expand(given):
        found += read(path, label="interval")
        if not found:
            raise files.error(path, "it holds no interval")
    contigs = reader.expand(contigs)
    known = genome_lib.Genome.read(contigs, only={one.contig for one in found})
    for one in found:
        contig = known.find(one.contig)
        if contig is not None and one.end <= known.length(contig):
            yield _record(one, contig, known, width)
            continue
        cause = f"contig {one.contig!r} is not in {sources.shown(contigs)}"
        if contig is not None:
            cause = f"end {one.end} is beyond the {known.length(contig)} of {contig}"
        error = sources.DatasetError(f"{one.place}: {cause}")
        if on_error is None:
            raise error
        on_error(error)


def _record(
    one: Interval, contig: str, genome: genome_lib.Genome, width: int | None
) -> Record:
    """Cuts an interval from its genome."""
    start, end = around(one, width)
    codes = genome.take(contig, start, end - start)
    return Record(
        name=name(contig, start, end, one.is_reverse),
        codes=encode.reverse_complement(codes) if one.is_reverse else codes,
        source=one.place,
        contig=contig,
        start=start,
        is_reverse=one.is_reverse,
    )


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
            raise sources.error(path, cause, number)
        strand = values.get(STRAND, "")
        if strand not in (*_FORWARD, _REVERSE):
            raise sources.error(path, f"strand {strand!r} is none of + - .", number)
        own = values.get(tables.SPLIT, "")
        if own and not tables.split_name(own):
            cause = f"split {own!r} is none of {', '.join(sources.SPLITS)}"
            raise sources.error(path, cause, number)
        own_label = values.get(tables.LABEL, "") if label is None else label
        if cause := tables.wrong_text(own_label):
            raise sources.error(path, f"its label {own_label[:40]!r} {cause}", number)
        yield Interval(
            contig=values[REGION],
            start=start,
            end=end,
            is_reverse=strand == _REVERSE,
            label=own_label,
            split=tables.split_name(own) or split,
            place=sources.place(path, number),
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
        id=name(one.contig, one.start, one.end, one.is_reverse),
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
        with text_files.opened(path) as text:
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
    with text_files.opened(path) as text:
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
    with text_files.opened(path) as text:
        for number, line in enumerate(text_files.lines(text, path), 1):
            words = line.split()
            if not words or words[0] in _NO_DATA or words[0].startswith("#"):
                continue
            fields = line.split("\t") if "\t" in line else words
            if len(fields) < len(_REQUIRED):
                cause = f"{len(fields)} columns; BED has chrom, start, end, …"
                raise sources.error(path, cause, number)
            values: dict[str, str]
            values = dict(zip(names, map(str.strip, fields), strict=False))
            if len(fields) == _NARROW_PEAK:
                values[_SUMMIT] = fields[-1].strip()
            if number == 1 and _is_bed(_header(line, REGIONS)):
                continue
            if values.get(tables.LABEL) in ("+", "-"):
                cause = f"name {values[tables.LABEL]!r}; BED has the strand in column 6"
                raise sources.error(path, cause, number)
            score = values.get("score", ".")
            if score != "." and not _NUMBER.fullmatch(score):
                cause = f"score {score!r} is no number; BED has the strand in column 6"
                raise sources.error(path, cause, number)
            if label_column is not None:
                if not len(_REQUIRED) < label_column <= len(fields):
                    cause = f"{len(fields)} columns, and no label_column={label_column}"
                    raise sources.error(path, cause, number)
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
        raise sources.error(path, cause, number)
    return summit


def _whole(text: str, name: str, path: str, number: int) -> int:
    """Reads a position."""
    if not (text.isascii() and text.isdigit()):
        cause = f"{name} {text!r} is not a whole number from 0 on"
        raise sources.error(path, cause, number)
    return int(text)
