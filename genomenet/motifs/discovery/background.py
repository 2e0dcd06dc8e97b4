"""Markov models of the background of motifs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet, encode
from genomenet.motifs.discovery import options

_PSEUDOCOUNT: Final = 1.0  # per context, distributed evenly over the four bases


@dataclasses.dataclass(frozen=True, eq=False)
class Background:
    """A Markov chain over bases.

    Attributes:
        order: Number of preceding bases m that a base depends on.
        initial: Probabilities of words of m bases, (4^m,), first base most
            significant.
        transitions: Probabilities of the next base after each word, (4^m, 4).
        frequencies: Probabilities of A, C, G, T.
    """

    order: int
    initial: npt.NDArray[np.float64]
    transitions: npt.NDArray[np.float64]
    frequencies: tuple[float, float, float, float]


def fit(
    sequences: Sequence[npt.NDArray[np.uint8]], *, order: int, both_strands: bool = True
) -> Background:
    """Fits a Markov chain to sequences.

    Args:
        sequences: Codes of `dna.alphabet`, uint8, (L,) each. Words with N are not
            counted.
        order: Number of preceding bases that a base depends on, 0 to 5.
        both_strands: Whether to count words on the reverse strand as well.

    Returns:
        The model. Each context has one pseudocount, distributed evenly over the
        four bases.

    Raises:
        ValueError: If the order is out of range.
    """
    if not 0 <= order <= options.LARGEST_ORDER:
        raise ValueError(f"order must be 0 to {options.LARGEST_ORDER}, got {order}")
    separator = np.full(1, alphabet.N, np.uint8)
    text = np.concatenate([separator, *(p for s in sequences for p in (s, separator))])
    counts = _counts(text, order + 1)
    singles = _counts(text, 1)
    if both_strands:
        other = encode.reverse_complement(text)
        counts = counts + _counts(other, order + 1)
        singles = singles + _counts(other, 1)
    table = counts.reshape(-1, alphabet.NUM_BASES) + _PSEUDOCOUNT / alphabet.NUM_BASES
    contexts = table.sum(1)
    single = (singles + _PSEUDOCOUNT) / (singles + _PSEUDOCOUNT).sum()
    a, c, g, t = single.tolist()
    return Background(
        order=order,
        initial=contexts / contexts.sum(),
        transitions=table / contexts[:, None],
        frequencies=(a, c, g, t),
    )


def _counts(text: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.int64]:
    """Counts the words of a width that have no N, (4^width,)."""
    count = max(len(text) - width + 1, 0)
    words = np.zeros(count, np.int64)
    is_known = np.ones(count, bool)
    for offset in range(width):
        column = text[offset : offset + count]
        words = words * alphabet.NUM_BASES + column % alphabet.NUM_BASES
        is_known &= column < alphabet.NUM_BASES
    return np.bincount(words[is_known], minlength=alphabet.NUM_BASES**width)
