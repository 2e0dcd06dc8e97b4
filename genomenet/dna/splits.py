"""Cutting contigs: pieces without N, units that never leak, chunks and windows.

All intervals are 0-based, half-open, in bases of the forward strand.

A *piece* is a stretch of a contig without a long run of N. A *unit* is what a split
is made of: a contig, or a block of one. A *chunk* is what one example holds. Chunks
lie inside a piece and inside a unit, and every base of a piece is in one chunk.
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
    """What was left out of contigs, and why.

    Attributes:
        all_n: Contigs that are N from end to end.
        only_short: Contigs with bases, none of them in a piece that is long enough.
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
        length: Its bases.
        pieces: Intervals, int64, (P, 2), in order.
        copies: How often it is in the genome; each of them counts.
        digest: Of what lies from its first piece to its last, the same for the
            reverse complement (see `genomenet.dna.sketch`); empty if not known.
        is_reverse: Whether the digest is that of the other strand.
    """

    name: str
    length: int
    pieces: Intervals
    copies: int = 1
    digest: bytes = b""
    is_reverse: bool = False

    @functools.cached_property
    def bases(self) -> int:
        """Number of bases in its pieces."""
        return _bases(self.pieces) * self.copies


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Unit:
    """What is given to a split as a whole.

    Attributes:
        contig: Name of the contig.
        start: First base.
        end: One past the last base.
        pieces: What it holds of the contig's pieces, int64, (P, 2), P ≥ 1.
        copies: How often it is in the genome; each of them counts.
    """

    contig: str
    start: int
    end: int
    pieces: Intervals
    copies: int = 1

    @functools.cached_property
    def bases(self) -> int:
        """Number of bases in its pieces."""
        return _bases(self.pieces) * self.copies


def pieces(
    codes: npt.NDArray[np.uint8], *, max_n_run: int = MAX_N_RUN, min_length: int = 100
) -> tuple[Intervals, Skipped]:
    """Finds the usable pieces of a contig.

    Args:
        codes: Codes of `genomenet.dna.alphabet`, uint8, (L,).
        max_n_run: Longest run of N inside a piece, in bases. Longer runs separate
            pieces; runs at the ends of the contig are cut off whatever their length.
        min_length: Shortest usable piece, in bases.

    Returns:
        Intervals of the pieces, int64, (P, 2), and the count of what was left out.

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
    found = np.stack([starts, ends], axis=1)[starts < ends]
    lengths = found[:, 1] - found[:, 0]
    usable = found[lengths >= min_length]
    return usable, Skipped(
        all_n=int(not len(found)),
        only_short=int(len(found) > 0 and not len(usable)),
        short_pieces=len(found) - len(usable),
        short_bases=int(lengths[lengths < min_length].sum()),
        n_bases=len(codes) - int(lengths.sum()),
    )


def units(
    contigs: Sequence[Contig], *, chunk_length: int, min_length: int = 100
) -> list[Unit]:
    """Divides contigs into what splits are made of.

    A unit is a whole contig where there are at least 40 and none holds over 5 % of
    the bases; else a block of clamp(bases / 100, 2 · chunk_length, 1 Mb), where the
    lower bound wins. A contig is cut into blocks of nearly equal length. A border
    that would leave less than `min_length` of a piece on one side moves to the end
    of that piece, so that no base is lost. Stretches without a piece are no unit.

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
    found: list[Unit] = []
    for contig in contigs:
        borders = _borders(contig, block, min_length)
        for start, end in itertools.pairwise(borders):
            inside = _clipped(contig.pieces, start, end)
            if len(inside):
                found.append(
                    Unit(
                        contig=contig.name,
                        start=start,
                        end=end,
                        pieces=inside,
                        copies=contig.copies,
                    )
                )
    return found


def assign(
    units: Sequence[Unit], shares: Mapping[str, float], *, seed: int
) -> dict[str, list[Unit]]:
    """Deals units to splits by a seeded hash; no split is empty.

    The smallest share is dealt first: it takes a unit while it is empty or the unit
    brings it closer to its share, and leaves one for each split still to come. The
    largest share gets all that is left.

    Args:
        units: Units, in any order: the result depends on their names only.
        shares: Share of each split, in any measure.
        seed: Of the hash.

    Returns:
        The units of each split, in the order of `shares`.

    Raises:
        ValueError: If there are fewer units than splits.
    """
    if len(units) < len(shares):
        raise ValueError(f"{len(units)} units are too few for {len(shares)} splits")
    left = sorted(units, key=lambda u: _hash(seed, u.contig, u.start))
    total = sum(unit.bases for unit in units)
    dealt: dict[str, list[Unit]] = {name: [] for name in shares}
    by_share = sorted(shares, key=lambda name: shares[name])
    for i, name in enumerate(by_share[:-1]):
        goal = total * shares[name] / sum(shares.values())
        to_come = len(by_share) - 1 - i
        have = 0
        kept: list[Unit] = []
        for j, unit in enumerate(left):
            can_take = len(kept) + len(left) - j > to_come
            is_closer = abs(have + unit.bases - goal) < abs(have - goal)
            if can_take and (not dealt[name] or is_closer):
                dealt[name].append(unit)
                have += unit.bases
            else:
                kept.append(unit)
        left = kept
    dealt[by_share[-1]] = left
    return dealt


def fitting_chunk_length(
    contigs: Sequence[Contig], *, num_units: int, chunk_length: int, min_length: int
) -> int | None:
    """Finds a chunk length that divides contigs into enough units.

    Args:
        contigs: Contigs with their pieces.
        num_units: Units wanted, at least.
        chunk_length: Bases in a chunk, as it was tried.
        min_length: Shortest usable piece, in bases.

    Returns:
        `chunk_length` halved as often as needed, in bases, but at least
        `min_length`; None where that is too long still.
    """
    while chunk_length > min_length:
        chunk_length = max(chunk_length // 2, min_length)
        found = units(contigs, chunk_length=chunk_length, min_length=min_length)
        if len(found) >= num_units:
            return chunk_length
    return None


def chunks(length: int, *, chunk_length: int, min_length: int = 100) -> Intervals:
    """Cuts a piece into chunks that share no base and leave none out.

    Chunks have `chunk_length` bases, and the last one what remains. Where that is
    under `min_length`, the last two are made equal.

    Args:
        length: Bases of the piece.
        chunk_length: Bases in a chunk, at most.
        min_length: Shortest remainder that stands alone, in bases.

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
    """Returns what of the intervals, which are in order, lies in start..end."""
    first = np.searchsorted(intervals[:, 1], start, side="right")
    last = np.searchsorted(intervals[:, 0], end, side="left")
    return np.clip(intervals[first:last], start, end)


def _borders(contig: Contig, block: float, min_length: int) -> list[int]:
    """Cuts a contig into about length / block parts; moves borders off short ends."""
    count = max(round(contig.length / block), 1)
    borders = [0]
    for i in range(1, count):
        border = round(contig.length * i / count)
        at = int(np.searchsorted(contig.pieces[:, 1], border, side="right"))
        if at < len(contig.pieces):
            start, end = (int(bound) for bound in contig.pieces[at])
            before, after = border - start, end - border
            if before > 0 and min(before, after) < min_length:
                border = start if before < after else end
        borders.append(border)
    return [*borders, contig.length]


def _hash(seed: int, contig: str, start: int) -> bytes:
    """Returns what orders units: stable over runs, machines and Python versions."""
    text = f"{seed}\t{start}\t{contig}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()
