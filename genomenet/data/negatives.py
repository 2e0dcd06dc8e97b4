"""Negatives for rows cut from a genome: similar windows, or shuffled rows."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.data import intervals as intervals_lib
from genomenet.data import sources, tables
from genomenet.dna import alphabet, encode, shuffle
from genomenet.dna import genome as genome_lib

LABEL: Final = "negative"
"""Label of the negatives."""

_AT_ONCE: Final = 1 << 15  # windows of the genome that are compared at once
_ROUNDS: Final = 64  # draws after which the tolerance grows by one percent
_WORST: Final = 20  # maximum tolerance, in percent


class Blocked:
    """Intervals of a genome, by contig, that no window may overlap."""

    def __init__(self, genome: genome_lib.Genome):
        self._genome = genome
        self._added: dict[str, list[tuple[int, int]]] = collections.defaultdict(list)
        self._joined: dict[str, npt.NDArray[np.int64]] = {}

    def add(self, contig: str | None, start: int, end: int) -> None:
        """Adds an interval; does nothing if the contig is None."""
        if contig is not None:
            self._added[contig].append((start, end))

    def update(self, other: Blocked) -> None:
        """Adds the intervals of another instance."""
        for contig, intervals in other._added.items():
            self._added[contig] += intervals

    def join(self) -> None:
        """Joins overlapping intervals; call it before `overlap`."""
        self._joined = {
            contig: _joined(np.array(sorted(intervals), np.int64))
            for contig, intervals in self._added.items()
        }

    def overlap(
        self, contig: str, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Returns whether each window overlaps one of the intervals, bool, (W,)."""
        intervals = self._joined.get(contig)
        if intervals is None:
            return np.zeros(len(starts), bool)
        # The first interval that ends after the start of a window.
        indices = np.searchsorted(intervals[:, 1], starts, side="right")
        has_one = indices < len(intervals)
        overlaps = np.zeros(len(starts), bool)
        overlaps[has_one] = intervals[indices[has_one], 0] < ends[has_one]
        return overlaps


def _joined(intervals: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Joins overlapping intervals of a sorted array, (S, 2)."""
    ends = np.maximum.accumulate(intervals[:, 1])
    begins = np.append(True, intervals[1:, 0] > ends[:-1])
    last = np.append(np.flatnonzero(begins)[1:] - 1, len(intervals) - 1)
    return np.stack([intervals[begins, 0], ends[last]], axis=1)


def shuffled(
    rows: Sequence[tables.Row], *, per_positive: int, seed: int
) -> list[tables.Row]:
    """Returns each row with shuffled bases and the same counts of dinucleotides.

    Args:
        rows: The rows.
        per_positive: Number of negatives for each row.
        seed: Seed of the shuffling.
    """
    codes = [alphabet.CODES[np.frombuffer(row.sequence, np.uint8)] for row in rows]
    result = []
    for index in range(per_positive):
        shuffled_codes = shuffle.shuffle(codes, order=1, seed=seed + index)
        for row, sequence_codes in zip(rows, shuffled_codes, strict=True):
            result.append(
                tables.Row(
                    sequence=encode.decode(sequence_codes),
                    label=LABEL,
                    id=f"{row.id}/shuffled{index + 1}",
                    split=row.split,
                    place=row.place,
                )
            )
    return result


def matched(
    intervals: Sequence[intervals_lib.Interval],
    rows: Sequence[tables.Row],
    genome: genome_lib.Genome,
    blocked: Blocked,
    *,
    split_of: Mapping[str, str],
    width: int,
    per_positive: int,
    seed: int,
) -> tuple[list[tables.Row], int]:
    """Returns windows of the genome with similar GC and N, and how many are worse.

    Windows that differ by one percent or more in GC or N are worse. The windows of a
    contig lie side by side from a random base on, so that no two overlap.

    Args:
        intervals: Intervals of the rows.
        rows: Rows that the windows should resemble.
        genome: Genome with every contig.
        blocked: Intervals that no window may overlap.
        split_of: Contig → the split of its windows; empty for any split.
        width: Length of a window, in bases.
        per_positive: Number of negatives for each row.
        seed: Seed of the draws.

    Raises:
        DatasetError: If the genome has too few such windows.
    """
    rng = np.random.default_rng(seed)
    windows = _Windows(genome, width, rng, split_of)
    wanted: dict[tuple[str, int, int], list[int]] = collections.defaultdict(list)
    for row_index, row in enumerate(rows):
        codes = alphabet.CODES[np.frombuffer(row.sequence, np.uint8)]
        gc, n = _shares(codes[None])
        key = (row.split, int(gc[0]), int(n[0]))
        wanted[key] += [row_index] * per_positive
    negatives: list[tables.Row] = []
    tolerance, worse = 0, 0
    for draw in range(1, _ROUNDS * (_WORST + 1)):
        if not wanted:
            break
        for contig, split, starts in windows.draw(_AT_ONCE):
            free = ~blocked.overlap(contig, starts, starts + width)
            starts = starts[free]
            if not len(starts):
                continue
            codes = genome.windows(contig, starts, width)
            gc, n = _shares(codes)
            for start, window_gc, window_n, row in zip(
                starts, gc, n, codes, strict=True
            ):
                key = _nearest(wanted, split, int(window_gc), int(window_n), tolerance)
                if key is None:
                    continue
                row_index = wanted[key].pop()
                if not wanted[key]:
                    del wanted[key]
                windows.use(contig, int(start))
                interval = intervals[row_index]
                worse += tolerance > 0 and key[1:] != (window_gc, window_n)
                negatives.append(
                    tables.Row(
                        sequence=encode.decode(
                            encode.reverse_complement(row)
                            if interval.is_reverse
                            else row
                        ),
                        label=LABEL,
                        id=intervals_lib.name(
                            contig, int(start), int(start) + width, interval.is_reverse
                        ),
                        split=rows[row_index].split,
                        place=interval.place,
                    )
                )
        if windows.are_used_up or draw % _ROUNDS == 0:
            tolerance += 1
            windows.again()
            if tolerance > _WORST:
                break
    if wanted:
        missing = sum(map(len, wanted.values()))
        total = len(rows) * per_positive
        raise sources.DatasetError(
            f"negatives=gc: the genome has too few free windows of {width} bases with"
            f" similar GC and N: {missing} of {total} negatives are missing: take"
            " fewer negatives_per_positive, or a genome with more contigs"
        )
    return negatives, worse


class _Windows:
    """Draws windows of a genome, none of which overlap.

    Args:
        genome: The genome.
        width: Length of a window, in bases.
        rng: Generator of the order.
        split_of: Contig → its split, or "".
    """

    def __init__(
        self,
        genome: genome_lib.Genome,
        width: int,
        rng: np.random.Generator,
        split_of: Mapping[str, str],
    ):
        self._genome, self._width, self._rng = genome, width, rng
        self._split_of = split_of
        self._contigs = [c for c in genome.names if genome.length(c) >= width]
        self._phases = rng.integers(0, width, len(self._contigs))
        lengths = np.array([genome.length(c) for c in self._contigs], np.int64)
        self._counts = np.maximum((lengths - self._phases) // width, 0)
        self._bounds = np.cumsum(np.append(0, self._counts))
        self._used: set[int] = set()
        self._index_of: dict[str, int] = {c: n for n, c in enumerate(self._contigs)}
        self.again()

    def again(self) -> None:
        """Starts a new pass over the windows that are not used."""
        self._order = self._rng.permutation(int(self._bounds[-1]))
        self._next = 0

    @property
    def are_used_up(self) -> bool:
        """Whether all windows of this pass were drawn."""
        return self._next >= len(self._order)

    def draw(self, count: int) -> list[tuple[str, str, npt.NDArray[np.int64]]]:
        """Returns contig, split and starts of the next windows."""
        part = np.sort(self._order[self._next : self._next + count])
        self._next += count
        if self._used:
            part = part[~np.isin(part, np.fromiter(self._used, np.int64))]
        contigs = np.searchsorted(self._bounds, part, side="right") - 1
        result = []
        for contig_index in np.unique(contigs).tolist():
            name = self._contigs[contig_index]
            window_indices = part[contigs == contig_index] - self._bounds[contig_index]
            starts = self._phases[contig_index] + window_indices * self._width
            order = self._rng.permutation(len(starts))
            result.append((name, self._split_of[name], starts[order]))
        return result

    def use(self, contig: str, start: int) -> None:
        """Marks a window as used."""
        contig_index = self._index_of[contig]
        window_index = (start - int(self._phases[contig_index])) // self._width
        self._used.add(int(self._bounds[contig_index]) + window_index)


def _shares(
    codes: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns GC of known bases and N of all bases, in whole percent, (W,) each."""
    is_n = codes >= alphabet.NUM_BASES
    known = np.maximum((~is_n).sum(1), 1)
    gc = np.rint(100 * ((codes == 1) | (codes == 2)).sum(1) / known)
    return gc.astype(np.int64), np.rint(100 * is_n.mean(1)).astype(np.int64)


def _nearest(
    wanted: Mapping[tuple[str, int, int], list[int]],
    split: str,
    gc: int,
    n: int,
    tolerance: int,
) -> tuple[str, int, int] | None:
    """Returns the nearest key of `wanted` within the tolerance, in percent, or None."""
    splits = [split] if split else list(sources.SPLITS)
    for distance in range(tolerance + 1):
        for wanted_gc in {gc - distance, gc + distance}:
            for wanted_n in range(n - distance, n + distance + 1):
                for name in splits:
                    if (name, wanted_gc, wanted_n) in wanted:
                        return name, wanted_gc, wanted_n
    return None
