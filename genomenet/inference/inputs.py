"""What is to be predicted: records of sequence files, intervals, rows of tables."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from genomenet.data import intervals, sources, tables
from genomenet.dna import encode, files, reader

STOP: Final = "stop"
SKIP: Final = "skip"

_REPORTED: Final = 10  # sequences that are too short, by name


@dataclasses.dataclass(kw_only=True)
class Counts:
    """What happened to the sequences of a run.

    Attributes:
        records: Sequences that were predicted.
        rows: Predictions that were written, of which a record has one a window.
        short: Sequences left out as too short for the model.
        bad: Sequences left out as not usable.
        blank: Predictions left empty: their windows hold too little but N.
        labels: Predicted class → rows.
    """

    records: int = 0
    rows: int = 0
    short: int = 0
    bad: int = 0
    blank: int = 0
    labels: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )


class Inputs:
    """Sequence files or tables, read one record at a time.

    Args:
        paths: Sequence files, patterns, or "-" for standard input; or tables with a
            column `sequence`; or with a genome files of intervals.
        genome: Of intervals, as for `data.intervals.read_records`.
        width: Of intervals, bases around their summits or else their middles.
        on_error: "stop" at what is not usable, or "skip" it.
        shortest: Bases of the shortest sequence that the model can read.
        counts: Counts what is left out and what is not.
        warn: Called with a line on what is left out.

    Raises:
        ValueError: If a file is not there, or tables and sequence files are mixed.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        genome: str | Sequence[str] | None = None,
        width: int | None = None,
        on_error: str,
        shortest: int,
        counts: Counts,
        warn: Callable[[str], None],
    ):
        if on_error not in (STOP, SKIP):
            raise ValueError(f"on_error must be {STOP} or {SKIP}, got {on_error!r}")
        self.paths = reader.expand(paths)
        self._genome, self._width = genome, width
        intervals.check(self.paths, genome, width)
        are_tables = [genome is None and tables.is_table(path) for path in self.paths]
        if any(are_tables) and not all(are_tables):
            raise ValueError("input mixes tables and sequence files: give one kind")
        self._are_tables = are_tables[0]
        # Whether each is predicted as a whole.
        self.are_rows = self._are_tables or genome is not None
        self._shortest = shortest
        self._counts = counts
        self._warn = warn
        self._on_error = on_error

    def read(self) -> Iterator[reader.Record]:
        """Yields the records, of which those that are too short are to be skipped.

        Raises:
            ValueError: If a file is not usable as it is, or where that is wanted a
                record.
        """
        left_out = self._refuse if self._on_error == STOP else self._leave_out
        if self._are_tables:
            return self._counted(_records(self.paths, left_out))
        return self._counted(
            intervals.read_records(
                self.paths, genome=self._genome, width=self._width, on_error=left_out
            )
        )

    def on_short(self, record: reader.Record) -> None:
        """Counts a record that is too short, and reports the first ones."""
        self._counts.short += 1
        if self._counts.short <= _REPORTED:
            cause = (
                f"{len(record.codes)} bases are too few: the model reads at least"
                f" {self._shortest}"
            )
            self._warn(str(files.error(record.source, cause, record=record.name)))
        elif self._counts.short == _REPORTED + 1:
            self._warn("more sequences are too short; from here they are only counted")

    def nothing(self) -> str:
        """Says why there is nothing to predict."""
        counts = self._counts
        return (
            f"{', '.join(self.paths)}: nothing to predict: {counts.short:,} sequences"
            f" are shorter than {self._shortest} bases, {counts.bad:,} are malformed"
        )

    def _counted(self, records: Iterable[reader.Record]) -> Iterator[reader.Record]:
        for record in records:
            self._counts.records += len(record.codes) >= self._shortest
            yield record
            del record  # else it would live while the next one is read

    def _refuse(self, error: ValueError) -> None:
        raise error

    def _leave_out(self, error: ValueError) -> None:
        self._counts.bad += 1
        self._warn(str(error))


def _records(
    paths: Sequence[str], on_error: Callable[[sources.DatasetError], None]
) -> Iterator[reader.Record]:
    """Yields the rows of tables."""
    for path in paths:
        for row in tables.read_sequences([path], on_error=on_error):
            codes = encode.encode(row.sequence)
            yield reader.Record(name=row.id, codes=codes, source=path)
