"""Removal of sequences that repeat or overlap others, before motifs are tested.

A site in several copies of one segment of a genome is one observation. Segments that
occur several times, on either strand, are therefore used once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet, tiling
from genomenet.motifs.discovery import options as options_lib

Named = tuple[str, npt.NDArray[np.uint8]]

# Bases of a word: with 4^16 words, a word hardly occurs twice by chance.
_WORD: Final = 16
_REPEATED: Final = 0.5  # share of known words above which a sequence is a repeat
_OVERLAPPING: Final = 0.1  # share of known words above which it overlaps others


@dataclasses.dataclass(frozen=True)
class Unique:
    """Sequences in which each segment occurs once.

    Attributes:
        sequences: Names and codes; segments of earlier sequences are N.
        repeats: Number of sequences left out.
        overlaps: Number of sequences with a segment replaced by N.
    """

    sequences: list[Named]
    repeats: int
    overlaps: int


def unique(sequences: Sequence[Named], *, both_strands: bool = True) -> Unique:
    """Removes repeated sequences and segments.

    A sequence is a repeat if it is equal to an earlier one, or if more than half of
    its words of 16 bases occur in earlier ones. Most copies with 3 % of the bases
    changed are repeats. If more than a tenth of the words occur in earlier sequences,
    these segments are replaced by N.

    Args:
        sequences: Names and codes of `dna.alphabet`, uint8, (L,) each.
        both_strands: Whether a sequence and its reverse complement are the same.

    Returns:
        The remaining sequences, in their order.
    """
    words, owners, starts = _words(sequences, both_strands)
    _, words = np.unique(words, return_inverse=True)
    bounds = np.searchsorted(owners, np.arange(len(sequences) + 1))
    is_known = np.zeros(words.max(initial=-1) + 1, bool)
    keys: set[bytes] = set()
    kept, repeats, overlaps = [], 0, 0
    for index, (name, codes) in enumerate(sequences):
        word_slice = slice(bounds[index], bounds[index + 1])
        is_repeated = is_known[words[word_slice]]
        share = is_repeated.mean() if len(is_repeated) else 0.0
        key = _key(codes, both_strands)
        if share > _REPEATED or key in keys:
            repeats += 1
            continue
        keys.add(key)
        is_known[words[word_slice]] = True
        if share > _OVERLAPPING:
            overlaps += 1
            codes = codes.copy()
            for start in starts[word_slice][is_repeated]:
                codes[start : start + _WORD] = alphabet.N
        kept.append((name, codes))
    return Unique(kept, repeats, overlaps)


def usable(
    sequences: Sequence[Named],
    kind: str,
    options: options_lib.Options,
    warnings: list[str],
) -> list[Named]:
    """Returns the sequences that can hold a motif, without repeated segments.

    Args:
        sequences: Names and codes.
        kind: What the sequences are called in warnings.
        options: Options of the search.
        warnings: Gets a line for each kind of sequence that is left out.
    """
    kept, width = [], options.min_width
    parts = unique(sequences, both_strands=options.both_strands)
    strands = " on either strand" if options.both_strands else ""
    if parts.repeats:
        warnings.append(
            f"{parts.repeats} of {len(sequences)} {kind}s left out: they repeat"
            f" another{strands}"
        )
    if parts.overlaps:
        warnings.append(
            f"{parts.overlaps} of {len(sequences)} {kind}s overlap others{strands}:"
            " overlapping segments are used once"
        )
    for name, codes in parts.sequences:
        runs = np.flatnonzero(np.concatenate([[True], codes >= alphabet.N, [True]]))
        if np.diff(runs).max(initial=0) > width:
            kept.append((name, codes))
    missing = len(parts.sequences) - len(kept)
    if missing:
        warnings.append(
            f"{missing} of {len(sequences)} {kind}s left out: they have no {width} "
            "consecutive bases without N"
        )
    return kept


def _key(codes: npt.NDArray[np.uint8], both_strands: bool) -> bytes:
    """Returns a key that only a sequence and its copies share."""
    if not both_strands:
        return codes.tobytes()
    return min(codes.tobytes(), alphabet.COMPLEMENT[codes[::-1]].tobytes())


def _words(
    sequences: Sequence[Named], both_strands: bool
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns all words without N, the indices of their sequences, and their starts."""
    words = [np.empty(0, np.uint64)]
    owners, starts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for index, (_, codes) in enumerate(sequences):
        count = len(codes) - _WORD + 1
        if count < 1:
            continue
        bases = codes.astype(np.uint64) & np.uint64(3)
        forward, reverse = np.zeros((2, count), np.uint64)
        for i in range(_WORD):
            forward = forward << np.uint64(2) | bases[i : i + count]
            other = np.uint64(3) - bases[_WORD - 1 - i :][:count]
            reverse = reverse << np.uint64(2) | other
        word_starts = tiling.starts_without_n(codes, _WORD)
        canonical = np.minimum(forward, reverse) if both_strands else forward
        words.append(canonical[word_starts])
        owners.append(np.full(len(word_starts), index))
        starts.append(word_starts)
    return np.concatenate(words), np.concatenate(owners), np.concatenate(starts)
