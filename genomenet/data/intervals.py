"""Reads intervals, as in BED files, and extracts their sequences from a genome."""

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
_FEW_NAMES: Final = 5  # intervals below which each may have a different label
_NARROW_PEAK: Final = 10  # columns
_SUMMIT: Final = "summit"
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|")
_NO_DATA: Final = ("track", "browser")  # first words of lines for genome browsers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    """A labelled interval of a contig.

    Attributes:
        contig: Name of the contig.
        start: First base, 0-based.
        end: One past the last base.
        is_reverse: Whether it is on the reverse strand.
        label: Label as written in the source.
        split: Name of its split, if the source gives one, else empty.
        place: File and line it comes from, for messages.
        summit: Position of the summit in narrowPeak files, counted from `start`.
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
        contig: Name of the contig in the genome.
        start: First base on the forward strand, 0-based; negative if the width reaches
            beyond the contig.
        is_reverse: Whether it is on the reverse strand.
    """

    contig: str
    start: int
    is_reverse: bool


def is_bed(path: str | os.PathLike[str]) -> bool:
    """Returns whether a file holds intervals, judged by its name."""
    return os.fspath(path).lower().removesuffix(".gz").endswith(_BED)


def check(
    paths: Sequence[str | os.PathLike[str]],
    genome: str | Sequence[str] | None,
    width: int | None = None,
) -> None:
    """Checks that a genome is given with intervals, and only then.

    Args:
        paths: Files to read.
        genome: As for `read_records`.
        width: As for `read_records`.

    Raises:
        ValueError: If files and genome do not go together, or the width is below 1.
    """
    if genome is not None:
        if "-" in paths:
            raise ValueError("intervals are read from files, not from standard input")
        if width is not None and width < 1:
            raise ValueError(f"width={width} must be at least 1 base")
        return
    if width is not None:
        raise ValueError(f"width={width} needs intervals: give their genome, too")
    for path in filter(is_bed, paths):
        path = os.fspath(path)
        raise files.error(path, "it holds intervals: give their genome, too")


def name(contig: str, start: int, end: int, is_reverse: bool) -> str:
    """Returns the name of an interval: `chr1:100-300`, or `chr1:100-300(-)`."""
    return f"{contig}:{start}-{end}{'(-)' * is_reverse}"


def around(interval: Interval, width: int | None) -> tuple[int, int]:
    """Returns start and end of a window around the summit, or else the middle.

    Args:
        interval: The interval.
        width: Bases of the window; None returns the interval itself.
    """
    if width is None:
        return interval.start, interval.end
    middle = (interval.start + interval.end) // 2
    start = (
        middle if interval.summit is None else interval.start + interval.summit
    ) - width // 2
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

    Contigs with intervals are kept in memory at 2 bits per base. Their names match
    with or without `chr`.

    Args:
        paths: As for `dna.reader.read`; with a genome, files of intervals as for
            `read`.
        genome: Sequence files with the contigs; None if `paths` are sequences.
        width: Bases of a window around the summit, or else the middle, of each
            interval; bases beyond its contig are N. None reads the interval itself.
        unique: Whether a name that occurs twice in sequence files is an error.
        on_error: Called with the error of an unusable record, or of an interval that
            is not in the genome, which is then skipped; None raises it.

    Yields:
        Records in file order. Those of intervals are `Record`, named `chr1:100-300`, or
        `chr1:100-300(-)` on the reverse strand, where bases are the reverse complement.

    Raises:
        ValueError: If a file is not usable.
    """
    input_files = [paths] if isinstance(paths, str) else list(paths)
    genome_files = [genome] if isinstance(genome, str) else genome
    check(input_files, genome_files, width)
    if genome_files is None:
        yield from reader.read(input_files, unique=unique, on_error=on_error)
        return
    intervals = []
    for path in reader.expand(input_files):
        intervals += read(path, label="interval")
        if not intervals:
            raise files.error(path, "it holds no interval")
    genome_files = reader.expand(genome_files)
    loaded = genome_lib.Genome.read(
        genome_files, only={interval.contig for interval in intervals}
    )
    for interval in intervals:
        contig = loaded.find(interval.contig)
        if contig is not None and interval.end <= loaded.length(contig):
            yield _record(interval, contig, loaded, width)
            continue
        cause = f"contig {interval.contig!r} is not in {sources.shown(genome_files)}"
        if contig is not None:
            cause = (
                f"end {interval.end} is beyond the {loaded.length(contig)} of {contig}"
            )
        error = sources.DatasetError(f"{interval.place}: {cause}")
        if on_error is None:
            raise error
        on_error(error)


def _record(
    interval: Interval, contig: str, genome: genome_lib.Genome, width: int | None
) -> Record:
    """Extracts the sequence of an interval."""
    start, end = around(interval, width)
    codes = genome.take(contig, start, end - start)
    return Record(
        name=name(contig, start, end, interval.is_reverse),
        codes=encode.reverse_complement(codes) if interval.is_reverse else codes,
        source=interval.place,
        contig=contig,
        start=start,
        is_reverse=interval.is_reverse,
    )


def read(
    path: str,
    *,
    columns: Mapping[str, str] = REGIONS,
    label: str | None = None,
    split: str = "",
    label_column: int | None = None,
) -> Iterator[Interval]:
    """Reads a file of intervals: BED, or a table with a header.

    Args:
        path: Existing file, plain or gzip.
        columns: Name of a column in a table → region, start, end, strand, label or
            split, if they differ.
        label: Label of all intervals. None takes the labels in the file or, if
            `is_unnamed`, the name of the file up to the first dot.
        split: Split of the intervals for which the file gives none.
        label_column: Column of labels in a BED file, from 1, instead of the fourth.

    Yields:
        Intervals in file order.

    Raises:
        DatasetError: If the file is not usable: one line with the file, the line and
            the cause.
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
        own_split = values.get(tables.SPLIT, "")
        if own_split and not tables.split_name(own_split):
            cause = f"split {own_split!r} is none of {', '.join(sources.SPLITS)}"
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
            split=tables.split_name(own_split) or split,
            place=sources.place(path, number),
            summit=_summit(values, end - start, path, number),
        )


def cut(
    intervals: Iterator[Interval],
    genome: Sequence[str],
    *,
    may_lack_label: bool = False,
) -> Iterator[tables.Row]:
    """Extracts intervals from a genome, with one contig in memory at a time.

    Args:
        intervals: Intervals, all of which are held in memory.
        genome: Sequence files; they are read up to the last contig that is needed.
        may_lack_label: Whether an empty label is allowed.

    Yields:
        Rows in the order of the contigs in the genome, then in that of the intervals.

    Raises:
        DatasetError: If a contig is not in the genome, an interval ends beyond it,
            or a label is empty: one line with the file, the line and the cause.
        SequenceFileError: If the genome is not usable.
    """
    of_contig: dict[str, list[Interval]] = {}
    for interval in intervals:
        if cause := tables.missing_label(interval.label, may_lack_label):
            raise sources.DatasetError(f"{interval.place}: {cause}")
        of_contig.setdefault(interval.contig, []).append(interval)
    names: list[str] = []
    for record in reader.read(genome):
        names.append(record.name)
        for interval in of_contig.pop(record.name, ()):
            yield _row(interval, record)
        del record  # else it stays in memory while the next one is read
        if not of_contig:
            return
    for missing in of_contig.values():
        raise _unknown(missing[0], genome, names)


def _row(interval: Interval, record: reader.Record) -> tables.Row:
    """Returns the row of an interval."""
    if interval.end > record.codes.size:
        raise sources.DatasetError(
            f"{interval.place}: end {interval.end} is beyond {interval.contig}, which"
            f" has {record.codes.size} bases in {record.source}"
        )
    codes = record.codes[interval.start : interval.end]
    if interval.is_reverse:
        codes = encode.reverse_complement(codes)
    return tables.Row(
        sequence=encode.decode(codes),
        label=interval.label,
        id=name(interval.contig, interval.start, interval.end, interval.is_reverse),
        split=interval.split,
        place=interval.place,
    )


def _unknown(
    interval: Interval, genome: Sequence[str], names: Sequence[str]
) -> sources.DatasetError:
    """Returns the error for a contig that the genome lacks."""
    bare = interval.contig.removeprefix("chr")
    other = bare if bare != interval.contig else f"chr{bare}"
    if other in names:
        advice = f"it has {other!r}; use the same names in both"
    else:
        advice = f"it has {', '.join(names[:5])}{', …' * (len(names) > 5)}"
    return sources.DatasetError(
        f"{interval.place}: contig {interval.contig!r} is not in"
        f" {sources.shown(genome)}: {advice}"
    )


def is_unnamed(
    path: str | os.PathLike[str], columns: Mapping[str, str] = REGIONS
) -> bool:
    """Returns whether a file of intervals holds no labels.

    Args:
        path: Existing file.
        columns: As for `read`.

    Returns:
        For a table, whether it lacks the column of labels; for BED, whether names are
        missing in all lines, or at least half of them differ.

    Raises:
        DatasetError: If the file is not usable.
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
    """Returns the names of the columns in a first line."""
    line = line.strip().lstrip("#")
    for separator in "\t,;":
        line = line.replace(separator, " ")
    return [tables.column(name.strip('"'), columns) for name in line.split()]


def _is_table(path: str, columns: Mapping[str, str]) -> bool:
    """Returns whether the first line is a header, other than that of BED."""
    with text_files.opened(path) as text:
        names = _header(text.readline(), columns)
    return START in names and END in names and not _is_bed(names)


def _is_bed(names: Sequence[str]) -> bool:
    """Returns whether columns are those of BED, in this order."""
    renamed = [{"chromstart": START, "chromend": END}.get(name, name) for name in names]
    expected = [*_REQUIRED, "name", "score", STRAND]
    return len(renamed) >= len(_REQUIRED) and all(
        name == wanted for name, wanted in zip(renamed, expected, strict=False)
    )


def _bed(
    path: str, label_column: int | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the line number, from 1, and the fields of each line of a BED file."""
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
                cause = (
                    f"score {score!r} is not a number; BED has the strand in column 6"
                )
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
    """Returns the summit of a narrowPeak line; -1 in the file stands for None."""
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
