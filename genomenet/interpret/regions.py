"""Regions of bases whose scores are high, and windows around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.interpret import attribution

WINDOW: Final = 24
"""Length in bases of a window around a region, as in DNABERT."""


def high_regions(
    scores: npt.ArrayLike, *, min_length: int = 5, factor: float = 10.0
) -> list[tuple[int, int]]:
    """Finds runs of bases with high scores in one sequence.

    Args:
        scores: Scores of the bases, (L,), any L.
        min_length: Length of the shortest run, in bases.
        factor: A score is high if it is above the mean, and above the minimum times
            this factor.

    Returns:
        0-based half-open intervals, in order.

    Raises:
        ValueError: If `scores` does not have one axis, or `min_length` is below 1.

    Source:
        Ji et al., DNABERT (2021). Differences: none.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or min_length < 1:
        raise ValueError(
            f"scores must have 1 axis, got {values.ndim} axes; min_length must be >= 1"
            f" base, got min_length {min_length}"
        )
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
    """Widens regions to windows, and merges windows that overlap.

    Args:
        regions: 0-based half-open intervals, in order.
        length: Length of the sequence, in bases.
        width: Length in bases of a window around the middle of a region. A longer
            region is kept whole. At the ends of the sequence, a window is shifted; in a
            shorter sequence, it is the whole sequence.

    Returns:
        0-based half-open intervals within the sequence, in order, without overlap.
    """
    merged: list[tuple[int, int]] = []
    for start, end in regions:
        size = min(max(width, end - start), length)
        first = min(max(0, (start + end - size) // 2), length - size)
        if merged and first < merged[-1][1]:
            last_start, last_end = merged.pop()
            first, size = last_start, max(last_end, first + size) - last_start
        merged.append((first, first + size))
    return merged


def high_windows(attributions: attribution.Attribution) -> list[attribution.NamedCodes]:
    """Returns the windows around regions of high scores, for motif discovery.

    Args:
        attributions: Scores of sequences.

    Returns:
        Names, such as "peak_1:30-54", and codes of the windows.
    """
    windows = []
    for index, length in enumerate(attributions.lengths.tolist()):
        scores = attributions.scores[index, :length]
        for start, end in widen(high_regions(scores), length):
            name = f"{attributions.names[index]}:{start}-{end}"
            windows.append((name, attributions.sequences[index, start:end]))
    return windows
