"""Sequences that repeat or overlap others, which tests of motifs must not count twice.

A site that lies in several copies of one stretch of a genome is one observation. What
comes again, on either strand, is therefore used once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet, tiling

Named = tuple[str, npt.NDArray[np.uint8]]

# Bases of a word that does not come twice by chance: 4^16 words there are.
_WORD: Final = 16
_REPEATED: Final = 0.5  # share of known words above which a sequence is a repeat
_OVERLAPPING: Final = 0.1  # and above which it overlaps others


@dataclasses.dataclass(frozen=True)
class Unique:
    """Sequences of which each stretch is there once.

    Attributes:
        sequences: Names and codes; stretches of earlier sequences are N.
        repeats: Sequences that are left out.
        overlaps: Sequences of which a part is N.
    """

    sequences: list[Named]
    repeats: int
    overlaps: int


def unique(sequences: Sequence[Named], *, both_strands: bool = True) -> Unique:
    """Leaves out what was there before.

    A sequence is a repeat if it is the same as an earlier one, or if more than half
    of its words of 16 bases are in earlier ones; so are most copies with 3 % of the
    bases changed. If more than a tenth are, these stretches become N.

    Args:
        sequences: Names and codes of `dna.alphabet`, uint8, (L,), of each.
        both_strands: Whether the reverse complement counts as the same.

    Returns:
        The sequences that are left, in their order.
    """
    words, owners, starts = _words(sequences, both_strands)
    _, words = np.unique(words, return_inverse=True)
    bounds = np.searchsorted(owners, np.arange(len(sequences) + 1))
    is_known = np.zeros(words.max(initial=-1) + 1, bool)
    seen: set[bytes] = set()
    kept, repeats, overlaps = [], 0, 0
    for number, (name, codes) in enumerate(sequences):
        own = slice(bounds[number], bounds[number + 1])
        known = is_known[words[own]]
        share = known.mean() if len(known) else 0.0
        key = _key(codes, both_strands)
        if share > _REPEATED or key in seen:
            repeats += 1
            continue
        seen.add(key)
        is_known[words[own]] = True
        if share > _OVERLAPPING:
            overlaps += 1
            codes = codes.copy()
            for start in starts[own][known]:
                codes[start : start + _WORD] = alphabet.N
        kept.append((name, codes))
    return Unique(kept, repeats, overlaps)


def _key(codes: npt.NDArray[np.uint8], both_strands: bool) -> bytes:
    """Returns what a sequence has in common with its copies alone."""
    if not both_strands:
        return codes.tobytes()
    return min(codes.tobytes(), alphabet.COMPLEMENT[codes[::-1]].tobytes())


def _words(
    sequences: Sequence[Named], both_strands: bool
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns all words without N, their sequences, and where they begin in them."""
    words = [np.empty(0, np.uint64)]
    owners, starts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for number, (_, codes) in enumerate(sequences):
        count = len(codes) - _WORD + 1
        if count < 1:
            continue
        bases = codes.astype(np.uint64) & np.uint64(3)
        forward, reverse = np.zeros((2, count), np.uint64)
        for i in range(_WORD):
            forward = forward << np.uint64(2) | bases[i : i + count]
            other = np.uint64(3) - bases[_WORD - 1 - i :][:count]
            reverse = reverse << np.uint64(2) | other
        place = tiling.starts_without_n(codes, _WORD)
        found = np.minimum(forward, reverse) if both_strands else forward
        words.append(found[place])
        owners.append(np.full(len(place), number))
        starts.append(place)
    return np.concatenate(words), np.concatenate(owners), np.concatenate(starts)
