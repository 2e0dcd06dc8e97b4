"""The recipe for intervals of peak callers: BED files and a genome."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genomenet import task_kinds
from genomenet.data import intervals as intervals_lib
from genomenet.data import selection, tables, tasks
from genomenet.data import signal as signal_lib
from genomenet.data import sources as sources_lib
from genomenet.data.builders import labelled_intervals
from genomenet.dna import genome as genome_lib
from genomenet.dna import reader


class SelectedIntervals(labelled_intervals.LabelledIntervals, skip_registration=True):
    """Intervals of one width, filtered, with negatives if requested.

    Unusable intervals are left out and counted in the metadata: duplicates, intervals
    that reach beyond their contig, those on contigs that the genome lacks, and those
    that overlap an excluded interval. Overlapping intervals are in one split.

    The rows, and the genome at 2 bits a base, are held in memory.

    Args:
        name: Name of the dataset.
        sources: Files of intervals, as for `LabelledIntervals`; in narrowPeak files
            the width is centred on the summit.
        genome: Sequence files with all contigs.
        exclude: Files of intervals that no row may overlap.
        width: Length of a row, in bases; None keeps each interval as it is.
        label_column: Column of BED files that holds the label, counted from 1.
        signal: A bigWig file. The label is then an amount: log(1 + mean of its values
            over the bases of the row).
        negatives: "gc", "shuffle" or "": see `data.selection.Options`.
        negatives_per_positive: Number of negatives for each row.
        splits: Percentages, or contigs, such as `chrom:chr8,chr9/chr1`.
        seed: Seed of negatives and splits.
        **kwargs: Arguments of `LabelledIntervals`.

    Raises:
        DatasetError: If an option is invalid, or files are not usable.
    """

    BASE = "SelectedIntervals"

    def __init__(
        self,
        *,
        name: str | None = None,
        sources: Sequence[str | os.PathLike[str]]
        | Mapping[str, Sequence[str | os.PathLike[str]]] = (),
        exclude: Sequence[str | os.PathLike[str]] = (),
        width: int | None = None,
        label_column: int | None = None,
        signal: str | os.PathLike[str] | None = None,
        negatives: str = "",
        negatives_per_positive: int = 1,
        splits: str = selection.Options.splits,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        chosen = {
            "width": width,
            "negatives": negatives,
            "negatives_per_positive": negatives_per_positive,
        }
        self._selection = selection.Options(**chosen, splits=splits, seed=seed)
        if signal is not None and (label_column is not None or negatives):
            what = "negatives" if negatives else "label_column"
            raise sources_lib.DatasetError(
                f"signal={os.fspath(signal)} makes amounts the labels, so {what} "
                "cannot be given, too: leave out one of them"
            )
        self._signal = None if signal is None else os.fspath(signal)
        if signal is not None:
            kwargs.setdefault("task", task_kinds.REGRESSION)
        self.given_exclude: Any = [os.fspath(path) for path in exclude]
        self._exclude = reader.expand(exclude) if exclude else []
        self._label_column = label_column
        self._selected: list[tables.Row] | None = None
        self._counts: dict[str, int] = {}
        is_percent = not splits.startswith("chrom:")
        super().__init__(
            name=name,
            sources=sources,
            seed=seed,
            **({"splits": splits} if is_percent else {}),
            **kwargs,
        )
        more: dict[str, Any] = {
            **chosen,
            "splits": splits,
            "label_column": label_column,
        }
        if signal is not None:
            more["signal"] = self._signal
        self.options.update(more)
        self._original_state.update(exclude=self.given_exclude, **more)

    def fingerprints(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Returns the fingerprints of the files, excluded intervals and signal last."""
        return super().fingerprints(paths) + sources_lib.fingerprints(
            [*self._exclude, *([self._signal] if self._signal else [])]
        )

    def facts(self, survey: tasks.Survey, splits: Sequence[str]) -> dict[str, Any]:
        """Returns further metadata, with the counts of intervals left out."""
        return super().facts(survey, splits) | {"intervals": self._counts}

    def _rows(
        self, paths: Sequence[str], *, may_lack_label: bool
    ) -> Iterator[tables.Row]:
        """Yields the rows; they are selected once and kept."""
        self._read_paths = list(paths)
        if self._selected is None:
            label_of = self._label_of()
            intervals = [
                interval
                for path in paths
                for interval in intervals_lib.read(
                    path,
                    label=label_of.get(path) if self._signal is None else "amount",
                    label_column=self._label_column,
                )
            ]
            for interval in intervals:
                if cause := tables.missing_label(interval.label, may_lack_label):
                    raise sources_lib.DatasetError(f"{interval.place}: {cause}")
            genome = genome_lib.Genome.read(self._genome)
            if self._signal is not None:
                width = self._selection.width
                intervals = signal_lib.label(
                    intervals, self._signal, genome, width=width
                )
            excluded = [
                interval
                for path in self._exclude
                for interval in intervals_lib.read(path)
            ]
            self._selected, self._counts = selection.select(
                intervals,
                excluded,
                genome,
                self._selection,
            )
        return iter(self._selected)
