"""Negatives for rows that were cut from a genome: windows alike, or shuffled rows."""

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

_AT_ONCE: Final = 1 << 15  # windows of the genome looked at together
_ROUNDS: Final = 64  # draws after which a match may be one percent worse
_WORST: Final = 20  # percent


class Blocked:
    """Stretches of a genome, by contig, in which nothing may lie."""

    def __init__(self, genome: genome_lib.Genome):
        self._genome = genome
        self._of: dict[str, list[tuple[int, int]]] = collections.defaultdict(list)
        self._joined: dict[str, npt.NDArray[np.int64]] = {}

    def add(self, contig: str | None, start: int, end: int) -> None:
        """Adds a stretch; one of no contig of the genome is nothing."""
        if contig is not None:
            self._of[contig].append((start, end))

    def update(self, other: Blocked) -> None:
        """Adds the stretches of another."""
        for contig, stretches in other._of.items():
            self._of[contig] += stretches

    def join(self) -> None:
        """Makes ready to be asked: joins what overlaps."""
        self._joined = {
            contig: _joined(np.array(sorted(stretches), np.int64))
            for contig, stretches in self._of.items()
        }

    def overlap(
        self, contig: str, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Returns which windows overlap one of the stretches, (W,)."""
        stretches = self._joined.get(contig)
        if stretches is None:
            return np.zeros(len(starts), bool)
        # The first stretch that ends behind the start of a window.
        at = np.searchsorted(stretches[:, 1], starts, side="right")
        inside = at < len(stretches)
        found = np.zeros(len(starts), bool)
        found[inside] = stretches[at[inside], 0] < ends[inside]
        return found


def _joined(stretches: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Joins sorted stretches, (S, 2), that overlap."""
    ends = np.maximum.accumulate(stretches[:, 1])
    begins = np.append(True, stretches[1:, 0] > ends[:-1])
    last = np.append(np.flatnonzero(begins)[1:] - 1, len(stretches) - 1)
    return np.stack([stretches[begins, 0], ends[last]], axis=1)


def shuffled(
    rows: Sequence[tables.Row], *, per_positive: int, seed: int
) -> list[tables.Row]:
    """Returns each row with its bases shuffled, its counts of dinucleotides kept.

    Args:
        rows: The rows.
        per_positive: How many for each.
        seed: Of the shuffling.
    """
    codes = [alphabet.CODES[np.frombuffer(row.sequence, np.uint8)] for row in rows]
    found = []
    for number in range(per_positive):
        parts = shuffle.shuffle(codes, order=1, seed=seed + number)
        for row, part in zip(rows, parts, strict=True):
            found.append(
                tables.Row(
                    sequence=encode.decode(part),
                    label=LABEL,
                    id=f"{row.id}/shuffled{number + 1}",
                    split=row.split,
                    place=row.place,
                )
            )
    return found


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
    """Returns windows of the genome that are alike in GC and N, and how many less so.

    The windows of a contig lie side by side from a random base on, so that no two
    overlap.

    Args:
        intervals: Those of the rows.
        rows: What the windows are to be alike.
        genome: Every contig.
        blocked: Where no window may lie.
        split_of: Contig → the split that its windows belong to; empty for any.
        width: Bases of a window.
        per_positive: How many for each row.
        seed: Of the draws.

    Raises:
        DatasetError: If the genome has too few such windows.
    """
    rng = np.random.default_rng(seed)
    windows = _Windows(genome, width, rng, split_of)
    wanted: dict[tuple[str, int, int], list[int]] = collections.defaultdict(list)
    for number, row in enumerate(rows):
        codes = alphabet.CODES[np.frombuffer(row.sequence, np.uint8)]
        gc, n = _shares(codes[None])
        key = (row.split, int(gc[0]), int(n[0]))
        wanted[key] += [number] * per_positive
    found: list[tables.Row] = []
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
            for at, own_gc, own_n, row in zip(starts, gc, n, codes, strict=True):
                key = _nearest(wanted, split, int(own_gc), int(own_n), tolerance)
                if key is None:
                    continue
                number = wanted[key].pop()
                if not wanted[key]:
                    del wanted[key]
                windows.use(contig, int(at))
                one = intervals[number]
                worse += tolerance > 0 and key[1:] != (own_gc, own_n)
                found.append(
                    tables.Row(
                        sequence=encode.decode(
                            encode.reverse_complement(row) if one.is_reverse else row
                        ),
                        label=LABEL,
                        id=intervals_lib.name(
                            contig, int(at), int(at) + width, one.is_reverse
                        ),
                        split=rows[number].split,
                        place=one.place,
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
            f"negatives=gc: the genome has no more windows of {width} bases that are"
            f" free and alike: {missing} of {total} are missing: take"
            " fewer negatives_per_positive, or a genome with more contigs"
        )
    return found, worse


class _Windows:
    """Draws windows of a genome, none twice, none overlapping another.

    Args:
        genome: The genome.
        width: Bases of a window.
        rng: Draws the order.
        split_of: Contig → the split that it belongs to, or "".
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
        self._number_of: dict[str, int] = {c: n for n, c in enumerate(self._contigs)}
        self.again()

    def again(self) -> None:
        """Begins anew with the windows that are not used."""
        self._order = self._rng.permutation(int(self._bounds[-1]))
        self._next = 0

    @property
    def are_used_up(self) -> bool:
        """Whether all windows were drawn."""
        return self._next >= len(self._order)

    def draw(self, count: int) -> list[tuple[str, str, npt.NDArray[np.int64]]]:
        """Returns contig, split and starts of the next windows."""
        part = np.sort(self._order[self._next : self._next + count])
        self._next += count
        if self._used:
            part = part[~np.isin(part, np.fromiter(self._used, np.int64))]
        contigs = np.searchsorted(self._bounds, part, side="right") - 1
        found = []
        for number in np.unique(contigs).tolist():
            name = self._contigs[number]
            index = part[contigs == number] - self._bounds[number]
            starts = self._phases[number] + index * self._width
            order = self._rng.permutation(len(starts))
            found.append((name, self._split_of[name], starts[order]))
        return found

    def use(self, contig: str, start: int) -> None:
        """Notes that a window is taken."""
        number = self._number_of[contig]
        index = (start - int(self._phases[number])) // self._width
        self._used.add(int(self._bounds[number]) + index)


def _shares(
    codes: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns GC of the known bases, and N of all, in whole percent, (W,) each."""
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
    """Returns the nearest that is wanted, within some percent."""
    splits = [split] if split else list(sources.SPLITS)
    for away in range(tolerance + 1):
        for shift in {gc - away, gc + away}:
            for other in range(n - away, n + away + 1):
                for name in splits:
                    if (name, shift, other) in wanted:
                        return name, shift, other
    return None
