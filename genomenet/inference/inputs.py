"""Reads the input of predictions: sequence files, intervals or tables."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from genomenet.data import intervals, sources, tables
from genomenet.dna import encode, files, reader

STOP: Final = "stop"
SKIP: Final = "skip"

_REPORTED: Final = 10  # number of sequences reported by name as too short


@dataclasses.dataclass(kw_only=True)
class Counts:
    """Numbers of sequences and predictions in a run.

    Attributes:
        records: Predicted sequences.
        rows: Written predictions, one for each window of a record.
        short: Sequences skipped as too short for the model.
        bad: Sequences skipped as malformed.
        blank: Predictions left empty, because their windows contain too many N.
        labels: Predicted class → number of rows.
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
    """Reads sequence files or tables one record at a time.

    Args:
        paths: Sequence files, patterns, or "-" for standard input; or tables with a
            column `sequence`; with a genome, files of intervals.
        genome: Genome of the intervals, as for `data.intervals.read_records`.
        width: Bases around the summit of an interval, or around its midpoint if it has
            no summit.
        on_error: "stop" at a malformed record, or "skip" it.
        shortest: Minimum length of a sequence, in bases.
        counts: Counts that are updated while reading.
        warn: Called with a line for each skipped record.

    Raises:
        ValueError: If a file is missing, or tables and sequence files are mixed.
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
            raise ValueError("tables and sequence files are mixed: give one kind")
        self._are_tables = are_tables[0]
        # Whether each record is predicted as a whole.
        self.are_rows = self._are_tables or genome is not None
        self._shortest = shortest
        self._counts = counts
        self._warn = warn
        self._on_error = on_error

    def read(self) -> Iterator[reader.Record]:
        """Yields all records, also those that are too short.

        Raises:
            ValueError: If a file cannot be read, or a record is malformed and
                `on_error` is "stop".
        """
        on_error = self._refuse if self._on_error == STOP else self._skip
        if self._are_tables:
            return self._counted(_records(self.paths, on_error))
        return self._counted(
            intervals.read_records(
                self.paths, genome=self._genome, width=self._width, on_error=on_error
            )
        )

    def on_short(self, record: reader.Record) -> None:
        """Counts a record that is too short, and reports the first ones."""
        self._counts.short += 1
        if self._counts.short <= _REPORTED:
            cause = (
                f"{len(record.codes)} bases are too few: the model needs at least"
                f" {self._shortest}"
            )
            error = files.error(record.source, cause, record=record.name)
            self._warn(f"skipped {error}")
        elif self._counts.short == _REPORTED + 1:
            self._warn("more sequences are too short; further ones are only counted")

    def nothing(self) -> str:
        """Returns the error message for input without anything to predict."""
        counts = self._counts
        return (
            f"{', '.join(self.paths)}: nothing to predict: {counts.short:,} sequences"
            f" are shorter than {self._shortest} bases, {counts.bad:,} are malformed"
        )

    def _counted(self, records: Iterable[reader.Record]) -> Iterator[reader.Record]:
        for record in records:
            self._counts.records += len(record.codes) >= self._shortest
            yield record
            del record  # frees its memory before the next record is read

    def _refuse(self, error: ValueError) -> None:
        raise error

    def _skip(self, error: ValueError) -> None:
        self._counts.bad += 1
        self._warn(f"skipped {error}")


def _records(
    paths: Sequence[str], on_error: Callable[[sources.DatasetError], None]
) -> Iterator[reader.Record]:
    """Yields the rows of tables as records."""
    for path in paths:
        for row in tables.read_sequences([path], on_error=on_error):
            codes = encode.encode(row.sequence)
            yield reader.Record(name=row.id, codes=codes, source=path)
