"""Regions of bases whose scores are high, and windows around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.interpret import attribution

WINDOW: Final = 24
"""Bases of a window around a region, as in DNABERT."""


def high_regions(
    scores: npt.ArrayLike, *, min_length: int = 5, factor: float = 10.0
) -> list[tuple[int, int]]:
    """Finds runs of bases that stand out of one sequence.

    Args:
        scores: Of its bases, (L,), any L.
        min_length: Bases of the shortest run that counts.
        factor: A base stands out if it is above the mean, and above the minimum
            times this.

    Returns:
        0-based half-open intervals, in order.

    Raises:
        ValueError: If `scores` has not one axis, or `min_length` is below 1.

    Source:
        Ji et al., DNABERT (2021). Differences: none.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or min_length < 1:
        raise ValueError(f"{values.ndim} axes of scores, min_length {min_length}")
    if not len(values):
        return []
    is_high = (values > values.mean()) & (values > factor * values.min())
    edges = np.diff(is_high.astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
    is_long = ends - starts >= min_length
    return list(zip(starts[is_long].tolist(), ends[is_long].tolist(), strict=True))


def widen(
    regions: Sequence[tuple[int, int]], length: int, *, width: int = WINDOW
) -> list[tuple[int, int]]:
    """Widens regions to windows, and joins windows that overlap.

    Args:
        regions: Half-open intervals, in order.
        length: Bases of the sequence.
        width: Bases of a window around the middle of a region; a longer region is
            kept whole. At the ends of the sequence a window is shifted, and one of a
            shorter sequence is all of it.

    Returns:
        Half-open intervals within the sequence, in order, apart from each other.
    """
    found: list[tuple[int, int]] = []
    for start, end in regions:
        size = min(max(width, end - start), length)
        first = min(max(0, (start + end - size) // 2), length - size)
        if found and first < found[-1][1]:
            first, size = found[-1][0], max(found[-1][1], first + size) - found[-1][0]
            found.pop()
        found.append((first, first + size))
    return found


def high_windows(found: attribution.Attribution) -> list[attribution.NamedCodes]:
    """Cuts out what the model looked at, for a finder of motifs.

    Args:
        found: Scores of sequences.

    Returns:
        Names, such as "peak_1:30-54", and codes.
    """
    cut = []
    for number, length in enumerate(found.lengths.tolist()):
        scores = found.scores[number, :length]
        for start, end in widen(high_regions(scores), length):
            name = f"{found.names[number]}:{start}-{end}"
            cut.append((name, found.sequences[number, start:end]))
    return cut
