"""Words that more primary sequences hold than controls: the seeds of motifs."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet
from genomenet.motifs.discovery import scan

_BITS: Final = 63  # of a key: two for each base, the rest for the sequence's number
_LEAST_OVERLAP: Final = 0.7


class Counts(NamedTuple):
    """In how many sequences words occur.

    Attributes:
        words: Numbers of words, first base most significant, rising, int64, (N,).
            A word stands for its reverse complement too where strands are joined.
        positives: Primary sequences that hold each, (N,).
        negatives: Controls that hold each, (N,).
        width: Bases of a word.
    """

    words: npt.NDArray[np.int64]
    positives: npt.NDArray[np.int64]
    negatives: npt.NDArray[np.int64]
    width: int


def count(sequences: scan.SequenceSet, width: int) -> Counts:
    """Counts each word once a sequence; those with N are left out.

    Args:
        sequences: The sequences, which say whether a word and its reverse complement
            are one.
        width: Bases of a word.

    Returns:
        The counts.

    Raises:
        ValueError: If there are too many sequences for words so wide.
    """
    bits = len(sequences.starts).bit_length()
    if 2 * width + bits > _BITS:
        number = len(sequences.starts)
        raise ValueError(f"{number} sequences are too many for words of {width} bases")
    words = sequences.numbers(width)
    owner = np.repeat(np.arange(len(sequences.starts)), sequences.lengths + 1)
    is_word = words >= 0
    keys = words[is_word] << bits | owner[is_word]
    keys.sort()
    keys = keys[np.diff(keys, prepend=-1) > 0]
    words, is_primary = keys >> bits, (keys & (1 << bits) - 1) < sequences.num_primary
    first = np.flatnonzero(np.diff(words, prepend=-1) > 0)
    if not len(first):
        none = np.zeros(0, np.int64)
        return Counts(none, none, none, width)
    positives = np.add.reduceat(is_primary.astype(np.int64), first)
    holding = np.diff(first, append=len(words))
    return Counts(words[first], positives, holding - positives, width)


def letters(numbers: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.uint8]:
    """Returns the bases of words, codes, (N, W)."""
    powers = 2 * np.arange(width - 1, -1, -1)
    return (numbers[:, None] >> powers & 3).astype(np.uint8)


def distinct(
    candidates: npt.NDArray[np.uint8], number: int, *, both_strands: bool
) -> list[int]:
    """Picks the first words that are no shifted or slightly changed earlier ones.

    Args:
        candidates: Codes, (N, W), the best first.
        number: Words to pick at most.
        both_strands: Whether a reverse complement is the same.

    Returns:
        Their rows.
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
    """Tells which words overlap one in most bases, with one in six changed."""
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
