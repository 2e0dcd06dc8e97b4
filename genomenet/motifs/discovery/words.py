"""Enriched words, the seeds of motifs: word counts in sequences and controls."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet
from genomenet.motifs.discovery import scan

_BITS: Final = 63  # bits of a key: two per base, the rest for the sequence index
_LEAST_OVERLAP: Final = 0.7


class Counts(NamedTuple):
    """Number of sequences in which each word occurs.

    Attributes:
        words: Indices of words, first base most significant, ascending, int64, (N,).
            With both strands, a word and its reverse complement have one index.
        positives: Number of primary sequences with each word, (N,).
        negatives: Number of controls with each word, (N,).
        width: Length of a word in bases.
    """

    words: npt.NDArray[np.int64]
    positives: npt.NDArray[np.int64]
    negatives: npt.NDArray[np.int64]
    width: int


def count(sequences: scan.SequenceSet, width: int) -> Counts:
    """Counts the sequences with each word; words with N are left out.

    Args:
        sequences: The sequences; their `both_strands` determines whether a word and
            its reverse complement are counted as one.
        width: Length of a word in bases.

    Returns:
        The counts.

    Raises:
        ValueError: If there are too many sequences for words of this width.
    """
    bits = len(sequences.starts).bit_length()
    if 2 * width + bits > _BITS:
        num_sequences = len(sequences.starts)
        raise ValueError(
            f"{num_sequences:,} sequences are too many for words of {width} bases: at"
            f" most {2 ** (_BITS - 2 * width) - 1:,} are allowed"
        )
    words = sequences.numbers(width)
    sequence_index = np.repeat(np.arange(len(sequences.starts)), sequences.lengths + 1)
    is_word = words >= 0
    keys = words[is_word] << bits | sequence_index[is_word]
    keys.sort()
    keys = keys[np.diff(keys, prepend=-1) > 0]
    words, is_primary = keys >> bits, (keys & (1 << bits) - 1) < sequences.num_primary
    first = np.flatnonzero(np.diff(words, prepend=-1) > 0)
    if not len(first):
        none = np.zeros(0, np.int64)
        return Counts(none, none, none, width)
    positives = np.add.reduceat(is_primary.astype(np.int64), first)
    totals = np.diff(first, append=len(words))
    return Counts(words[first], positives, totals - positives, width)


def letters(numbers: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.uint8]:
    """Returns the bases of words, codes, (N, W)."""
    powers = 2 * np.arange(width - 1, -1, -1)
    return (numbers[:, None] >> powers & 3).astype(np.uint8)


def distinct(
    candidates: npt.NDArray[np.uint8], number: int, *, both_strands: bool
) -> list[int]:
    """Picks the best words that are not shifted or slightly changed better ones.

    Args:
        candidates: Codes, (N, W), the best first.
        number: Maximum number of words.
        both_strands: Whether a word and its reverse complement are the same.

    Returns:
        Rows of the words in `candidates`.
    """
    chosen: list[int] = []
    is_left = np.ones(len(candidates), bool)
    while is_left.any() and len(chosen) < number:
        row = int(np.argmax(is_left))
        chosen.append(row)
        word = candidates[row]
        is_left &= ~_is_similar(candidates, word)
        if both_strands:
            is_left &= ~_is_similar(candidates, alphabet.COMPLEMENT[word[::-1]])
    return chosen


def _is_similar(
    candidates: npt.NDArray[np.uint8], word: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]:
    """Returns which words overlap a word in most bases, at most one in six changed."""
    width = len(word)
    is_similar = np.zeros(len(candidates), bool)
    for shift in range(width - math.ceil(_LEAST_OVERLAP * width) + 1):
        overlap = width - shift
        for part, other in (
            (candidates[:, shift:], word[:overlap]),
            (candidates[:, :overlap], word[shift:]),
        ):
            is_similar |= np.count_nonzero(part != other, axis=1) <= overlap // 6
    return is_similar
