"""The recipe for labelled intervals of a genome, as in BED files."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from genomenet.data import labelled, sources, tables
from genomenet.dna import encode, reader

REGION: Final = "region"
START: Final = "start"
END: Final = "end"
STRAND: Final = "strand"

_REQUIRED: Final = (REGION, START, END)
_REGIONS: Final = {name: REGION for name in ("chrom", "chromosome", "contig")}
_FORWARD: Final = ("+", ".", "")
_REVERSE: Final = "-"
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
    """

    contig: str
    start: int
    end: int
    is_reverse: bool
    label: str
    split: str
    place: str


class LabelledIntervals(labelled.LabelledSequences, skip_registration=True):
    """Labelled intervals, whose sequences are cut from a genome.

    Intervals are 0-based and half-open; those on strand `-` are reverse-complemented.
    The id is `chr1:100-300`, with `(-)` behind it on that strand. Files of intervals
    are plain or gzip, and of two kinds, told apart by their first line:

    - tables that name the columns `region` (or `chrom`), `start`, `end`, and where
      wanted `strand`, `label` and `split`, as those of Genomic Benchmarks;
    - BED, whose fourth column is the label, and the sixth the strand.

    Without a label, the class is the name of the file up to its first dot, as in
    `train/positive.csv.gz`. Without a split, it is the name of the folder where that
    is train, validation or test, and dealt by chance elsewhere.

    The genome is read once for every split and once before, one contig in memory at
    a time.

    A recipe of the catalogue subclasses this, states `CLASSES`, `MANUAL_FILES` and
    `GENOME_FILES`, and writes `_sources` and `_genome_sources` where there is
    something to download.

    Args:
        name: Name of the dataset, where it is not that of the class.
        sources: Files of intervals, where they are not those of the class; or class →
            its files. Patterns are allowed.
        genome: Sequence files with all contigs, where they are not those of the class.
        **kwargs: Arguments of `LabelledSequences`.

    Raises:
        DatasetError: If an option makes no sense, or sources that are needed now to
            find the classes are not usable.
    """

    BASE = "LabelledIntervals"

    GENOME_FILES: ClassVar[tuple[str, ...]] = ()
    """Patterns of the genome's files in the manual directory, where there is one."""

    def __init__(
        self,
        *,
        name: str | None = None,
        sources: Sequence[str | os.PathLike[str]]
        | Mapping[str, Sequence[str | os.PathLike[str]]] = (),
        genome: Sequence[str | os.PathLike[str]] = (),
        **kwargs: Any,
    ) -> None:
        self.given_genome: Any = [os.fspath(path) for path in genome]
        self._genome: list[str] = []
        super().__init__(name=name, sources=sources, **kwargs)
        # TFDS pickles a builder as the arguments of its constructor.
        self._original_state.update(genome=self.given_genome)

    def files(self, dl_manager: Any) -> list[str]:
        """Returns the files of intervals; finds those of the genome, too."""
        if self.given_genome:
            self._genome = reader.expand(self.given_genome)
        elif self.given_sources:
            raise sources.DatasetError("intervals need a genome: give its files")
        else:
            self._genome = self.found(
                dl_manager, self.GENOME_FILES, self._genome_sources
            )
        return super().files(dl_manager)

    def fingerprints(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Returns what the files are recognised by, the genome's at the end."""
        return super().fingerprints(paths) + sources.fingerprints(self._genome)

    def _genome_sources(self, dl_manager: Any) -> Sequence[str | os.PathLike[str]]:
        """Returns the genome of a recipe of the catalogue, in which this is written."""
        del dl_manager
        advice = " ".join((self.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
        raise sources.DatasetError(f"{self.name}: no genome. {advice}".rstrip())

    def _rows(
        self, paths: Sequence[str], *, may_lack_label: bool
    ) -> Iterator[tables.Row]:
        """Yields the intervals with their sequences, contig by contig."""
        columns = _REGIONS | dict(self.COLUMNS)
        if isinstance(self.given_sources, Mapping):
            label_of = {
                path: name
                for name, of_class in self._class_files().items()
                for path in of_class
            }
        else:
            label_of = {}
        found = (
            interval
            for path in paths
            for interval in read(path, columns=columns, label=label_of.get(path))
        )
        return cut(found, self._genome, may_lack_label=may_lack_label)


def read(
    path: str,
    *,
    columns: Mapping[str, str] = _REGIONS,
    label: str | None = None,
) -> Iterator[Interval]:
    """Reads a file of intervals, BED or a table with a header.

    Args:
        path: Existing file, plain or gzip.
        columns: Name of a column in a table → region, start, end, strand, label or
            split, where they differ.
        label: Label of all intervals; None for those in the file, or else its name
            up to the first dot.

    Yields:
        Intervals in file order.

    Raises:
        DatasetError: If the file is not usable as it is: one line with the file, the
            line and the cause.
    """
    if _is_table(path, columns):
        lines = tables.read_fields(path, required=_REQUIRED, columns=columns)
    else:
        lines = _bed(path)
    parents = pathlib.PurePath(os.path.abspath(path)).parts
    folder = tables.split_name(parents[-2]) if len(parents) > 1 else ""
    stem = os.path.basename(path).split(".")[0]
    for number, values in lines:
        start, end = (_whole(values[key], key, path, number) for key in (START, END))
        if start >= end:
            cause = f"start {start} is not before end {end}"
            raise tables.error(path, cause, number)
        strand = values.get(STRAND, "")
        if strand not in (*_FORWARD, _REVERSE):
            raise tables.error(path, f"strand {strand!r} is none of + - .", number)
        split = values.get(tables.SPLIT, "")
        if split and not tables.split_name(split):
            cause = f"split {split!r} is none of {', '.join(sources.SPLITS)}"
            raise tables.error(path, cause, number)
        yield Interval(
            contig=values[REGION],
            start=start,
            end=end,
            is_reverse=strand == _REVERSE,
            label=label or values.get(tables.LABEL, stem),
            split=tables.split_name(split) or folder,
            place=tables.place(path, number),
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
        if not (one.label or may_lack_label):
            raise sources.DatasetError(f"{one.place}: empty label")
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


def _is_table(path: str, columns: Mapping[str, str]) -> bool:
    """Returns whether the first line names columns."""
    with tables.opened(path) as text:
        first = text.readline().strip()
    for sign in "\t,;":
        first = first.replace(sign, " ")
    names = [tables.column(name, columns) for name in first.split()]
    return START in names and END in names


def _bed(path: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the number of a line of a BED file, from 1, and its fields."""
    names = (*_REQUIRED, tables.LABEL, "score", STRAND)
    with tables.opened(path) as text:
        for number, line in enumerate(text, 1):
            words = line.split()
            if not words or words[0] in _NO_DATA or words[0].startswith("#"):
                continue
            fields = line.split("\t") if "\t" in line else words
            if len(fields) < len(_REQUIRED):
                cause = f"{len(fields)} columns; BED has chrom, start, end, …"
                raise tables.error(path, cause, number)
            yield number, dict(zip(names, map(str.strip, fields), strict=False))


def _whole(text: str, name: str, path: str, number: int) -> int:
    """Reads a position."""
    if not (text.isascii() and text.isdigit()):
        cause = f"{name} {text!r} is not a whole number from 0 on"
        raise tables.error(path, cause, number)
    return int(text)
