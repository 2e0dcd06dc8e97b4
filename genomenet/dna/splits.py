"""Divides contigs into pieces without N, units that never leak, and chunks.

All intervals are 0-based, half-open, in bases of the forward strand.

A *piece* is an interval of a contig without a long run of N. A *unit* is assigned to a
split as a whole: a contig, or a block of one. A *chunk* is the sequence of one example.
Chunks lie inside a piece and inside a unit, and every base of a piece is in one chunk.
"""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import packed

MAX_N_RUN: Final = 100
"""Longest run of N that stays inside a piece, in bases."""

_MIN_CONTIGS: Final = 40
_MAX_CONTIG_SHARE: Final = 0.05
_BLOCKS: Final = 100
_MAX_BLOCK: Final = 1_000_000  # bases

Intervals = npt.NDArray[np.int64]  # (P, 2): start, end


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skipped:
    """Counts of what was left out of contigs, by reason.

    Attributes:
        all_n: Contigs that are N from end to end.
        only_short: Contigs with bases, but without a piece that is long enough.
        short_pieces: Pieces shorter than the minimum.
        short_bases: Bases of these pieces.
        n_bases: N at the ends of contigs and in long runs.
    """

    all_n: int = 0
    only_short: int = 0
    short_pieces: int = 0
    short_bases: int = 0
    n_bases: int = 0

    def __add__(self, other: "Skipped") -> "Skipped":
        """Adds the counts of two sets of contigs."""
        names = [field.name for field in dataclasses.fields(self)]
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return Skipped(**sums)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Contig:
    """A contig and its usable pieces.

    Attributes:
        name: Name, unique among all contigs of a dataset.
        length: Length, in bases.
        pieces: Intervals, int64, (P, 2), in order.
        copies: Number of copies in the genome; each of them counts.
        digest: Digest of the canonical sequence from the first piece to the last (see
            `genomenet.dna.sketch`); empty if not known.
        is_reverse: Whether the canonical sequence is the reverse complement.
    """

    name: str
    length: int
    pieces: Intervals
    copies: int = 1
    digest: bytes = b""
    is_reverse: bool = False

    @functools.cached_property
    def bases(self) -> int:
        """Number of bases in the pieces, over all copies."""
        return _bases(self.pieces) * self.copies


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Unit:
    """A part of a genome that is assigned to a split as a whole.

    Attributes:
        contig: Name of the contig.
        start: First base.
        end: One past the last base.
        pieces: Intervals of the contig's pieces in it, int64, (P, 2), P ≥ 1.
        copies: Number of copies in the genome; each of them counts.
    """

    contig: str
    start: int
    end: int
    pieces: Intervals
    copies: int = 1

    @functools.cached_property
    def bases(self) -> int:
        """Number of bases in the pieces, over all copies."""
        return _bases(self.pieces) * self.copies


def pieces(
    codes: npt.NDArray[np.uint8], *, max_n_run: int = MAX_N_RUN, min_length: int = 100
) -> tuple[Intervals, Skipped]:
    """Finds the usable pieces of a contig.

    Args:
        codes: Codes of `genomenet.dna.alphabet`, uint8, (L,).
        max_n_run: Longest run of N inside a piece, in bases. Longer runs separate
            pieces; runs at the ends of the contig are removed, whatever their length.
        min_length: Shortest usable piece, in bases.

    Returns:
        Intervals of the pieces, int64, (P, 2), and the counts of what was left out.

    Example:
        >>> pieces(np.array([4, 0, 1, 4, 4, 2, 4], np.uint8), max_n_run=1, min_length=2)
        ... # doctest: +ELLIPSIS
        (array([[1, 3]]), Skipped(all_n=0, only_short=0, short_pieces=1, ...))
    """
    runs = packed.runs_of_n(codes)
    if not len(runs) and len(codes) >= min_length:  # most contigs of a draft genome
        return np.array([[0, len(codes)]]), Skipped()
    at_end = (runs[:, 0] == 0) | (runs[:, 1] == len(codes))
    gaps = runs[at_end | (runs[:, 1] - runs[:, 0] > max_n_run)]
    starts = np.concatenate([[0], gaps[:, 1]])
    ends = np.concatenate([gaps[:, 0], [len(codes)]])
    # Empty where a gap touches an end of the contig.
    intervals = np.stack([starts, ends], axis=1)[starts < ends]
    lengths = intervals[:, 1] - intervals[:, 0]
    usable = intervals[lengths >= min_length]
    return usable, Skipped(
        all_n=int(not len(intervals)),
        only_short=int(len(intervals) > 0 and not len(usable)),
        short_pieces=len(intervals) - len(usable),
        short_bases=int(lengths[lengths < min_length].sum()),
        n_bases=len(codes) - int(lengths.sum()),
    )


def units(
    contigs: Sequence[Contig], *, chunk_length: int, min_length: int = 100
) -> list[Unit]:
    """Divides contigs into units.

    Units are whole contigs if there are at least 40 and none holds over 5 % of the
    bases; else they are blocks of clamp(bases / 100, 2 · chunk_length, 1 Mb), where
    the lower bound wins. A contig is divided into blocks of nearly equal length. A
    border that would leave less than `min_length` of a piece on one side moves to the
    end of that piece, so that no base is lost. Blocks without a piece are left out.

    Args:
        contigs: Contigs with their pieces.
        chunk_length: Bases in a chunk.
        min_length: Shortest usable piece, in bases, at most `chunk_length`.

    Returns:
        Units in the order of the contigs.

    Raises:
        ValueError: If `min_length` < 1 or `chunk_length` < `min_length`.
    """
    if not 1 <= min_length <= chunk_length:
        raise ValueError(
            f"min_length must be in 1..chunk_length={chunk_length} bases, "
            f"got {min_length}"
        )
    contigs = [contig for contig in contigs if len(contig.pieces)]
    sizes = [contig.bases for contig in contigs]
    total = sum(sizes)
    if len(contigs) >= _MIN_CONTIGS and max(sizes) <= _MAX_CONTIG_SHARE * total:
        return [
            Unit(contig=c.name, start=0, end=c.length, pieces=c.pieces, copies=c.copies)
            for c in contigs
        ]
    block = max(min(total / _BLOCKS, _MAX_BLOCK), 2 * chunk_length)
    result: list[Unit] = []
    for contig in contigs:
        borders = _borders(contig, block, min_length)
        for start, end in itertools.pairwise(borders):
            inside = _clipped(contig.pieces, start, end)
            if len(inside):
                result.append(
                    Unit(
                        contig=contig.name,
                        start=start,
                        end=end,
                        pieces=inside,
                        copies=contig.copies,
                    )
                )
    return result


def assign(
    units: Sequence[Unit], shares: Mapping[str, float], *, seed: int
) -> dict[str, list[Unit]]:
    """Assigns units to splits by a seeded hash; no split is empty.

    The split with the smallest share is filled first. It takes a unit if it is empty
    or the unit brings it closer to its share, and leaves one unit for each split that
    follows. The split with the largest share takes all remaining units.

    Args:
        units: Units, in any order: the result depends on their names only.
        shares: Share of each split, in any unit.
        seed: Seed of the hash.

    Returns:
        The units of each split, in the order of `shares`.

    Raises:
        ValueError: If there are fewer units than splits.
    """
    if len(units) < len(shares):
        raise ValueError(f"{len(units)} units are too few for {len(shares)} splits")
    remaining = sorted(units, key=lambda u: _hash(seed, u.contig, u.start))
    total = sum(unit.bases for unit in units)
    assigned: dict[str, list[Unit]] = {name: [] for name in shares}
    by_share = sorted(shares, key=lambda name: shares[name])
    for i, name in enumerate(by_share[:-1]):
        goal = total * shares[name] / sum(shares.values())
        to_come = len(by_share) - 1 - i
        num_bases = 0
        kept: list[Unit] = []
        for j, unit in enumerate(remaining):
            can_take = len(kept) + len(remaining) - j > to_come
            is_closer = abs(num_bases + unit.bases - goal) < abs(num_bases - goal)
            if can_take and (not assigned[name] or is_closer):
                assigned[name].append(unit)
                num_bases += unit.bases
            else:
                kept.append(unit)
        remaining = kept
    assigned[by_share[-1]] = remaining
    return assigned


def fitting_chunk_length(
    contigs: Sequence[Contig], *, num_units: int, chunk_length: int, min_length: int
) -> int | None:
    """Finds a chunk length that divides contigs into enough units.

    Args:
        contigs: Contigs with their pieces.
        num_units: Minimum number of units.
        chunk_length: Bases in a chunk that gives too few units.
        min_length: Shortest usable piece, in bases.

    Returns:
        `chunk_length` halved as often as needed, in bases, but at least
        `min_length`; None if that is still too long.
    """
    while chunk_length > min_length:
        chunk_length = max(chunk_length // 2, min_length)
        divided = units(contigs, chunk_length=chunk_length, min_length=min_length)
        if len(divided) >= num_units:
            return chunk_length
    return None


def chunks(length: int, *, chunk_length: int, min_length: int = 100) -> Intervals:
    """Divides a piece into chunks that do not overlap and leave no base out.

    Chunks have `chunk_length` bases, and the last one has the remainder. If that is
    below `min_length`, the last two are made equal.

    Args:
        length: Bases of the piece.
        chunk_length: Bases in a chunk, at most.
        min_length: Shortest remainder that is a chunk of its own, in bases.

    Returns:
        Intervals within the piece, int64, (C, 2).

    Example:
        >>> chunks(250, chunk_length=100, min_length=60)
        array([[  0, 100],
               [100, 175],
               [175, 250]])
    """
    borders = np.append(np.arange(0, length, chunk_length), length)
    if len(borders) > 2 and borders[-1] - borders[-2] < min_length:
        borders[-2] = (borders[-3] + length) // 2
    return np.stack([borders[:-1], borders[1:]], axis=1).astype(np.int64)


def _bases(intervals: Intervals) -> int:
    """Returns the number of bases in intervals."""
    return int((intervals[:, 1] - intervals[:, 0]).sum())


def _clipped(intervals: Intervals, start: int, end: int) -> Intervals:
    """Clips ordered intervals to start..end; those outside are left out."""
    first = np.searchsorted(intervals[:, 1], start, side="right")
    last = np.searchsorted(intervals[:, 0], end, side="left")
    return np.clip(intervals[first:last], start, end)


def _borders(contig: Contig, block: float, min_length: int) -> list[int]:
    """Returns the borders of about length / block parts, moved off short ends."""
    count = max(round(contig.length / block), 1)
    borders = [0]
    for i in range(1, count):
        border = round(contig.length * i / count)
        index = int(np.searchsorted(contig.pieces[:, 1], border, side="right"))
        if index < len(contig.pieces):
            start, end = (int(bound) for bound in contig.pieces[index])
            before, after = border - start, end - border
            if before > 0 and min(before, after) < min_length:
                border = start if before < after else end
        borders.append(border)
    return [*borders, contig.length]


def _hash(seed: int, contig: str, start: int) -> bytes:
    """Returns the sort key of a unit: stable over runs, machines, Python versions."""
    text = f"{seed}\t{start}\t{contig}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()
