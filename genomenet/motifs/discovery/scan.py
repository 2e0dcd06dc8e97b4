"""Scanning of concatenated sequences for the best position of a motif in each.

T is the number of positions of the text where a motif may begin.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet
from genomenet.motifs.discovery import options

_GROUP: Final = options.SMALLEST_WIDTH  # bases per table look-up
_WORDS: Final = alphabet.NUM_BASES**_GROUP
_BLOCK: Final = 2**16  # positions scored at once, to fit into the cache of a core


class Scores(NamedTuple):
    """Scores of a motif at every position of a text.

    Attributes:
        values: Scores of the better strand in bits, float32, (T,).
        log_odds: Scores of bases, (W, 4).
    """

    values: npt.NDArray[np.float32]
    log_odds: npt.NDArray[np.float64]

    @property
    def width(self) -> int:
        """Width of the motif in bases, W."""
        return len(self.log_odds)


class Hits(NamedTuple):
    """The best position of a motif in each of some sequences.

    Attributes:
        sequences: Indices of the sequences, ascending, (N,).
        places: Positions of the first base in `SequenceSet.text`, (N,).
        is_reverse: Whether the motif lies on the reverse strand, (N,).
        words: Bases on the strand of the motif, uint8, (N, W).
    """

    sequences: npt.NDArray[np.intp]
    places: npt.NDArray[np.intp]
    is_reverse: npt.NDArray[np.bool_]
    words: npt.NDArray[np.uint8]


class SequenceSet:
    """Primary sequences, then controls, as one text with N between them.

    Args:
        primary: Primary sequences, codes of `dna.alphabet`, uint8, (L,) each.
        control: Controls, in the same form.
        both_strands: Whether to search both strands for motifs.

    Attributes:
        text: All bases, uint8.
        starts: Position of the first base of each sequence in `text`, (S,).
        lengths: Length of each sequence in bases, (S,).
        num_primary: Number of primary sequences.
        num_control: Number of controls.
        both_strands: As given.
    """

    def __init__(
        self,
        primary: Sequence[npt.NDArray[np.uint8]],
        control: Sequence[npt.NDArray[np.uint8]],
        *,
        both_strands: bool,
    ) -> None:
        separator = np.full(1, alphabet.N, np.uint8)
        margin = np.full(options.LARGEST_WIDTH, alphabet.N, np.uint8)
        parts = [part for s in (*primary, *control) for part in (s, separator)]
        self.text = np.concatenate([*parts, margin])
        self.lengths = np.array([len(s) for s in (*primary, *control)], np.intp)
        self.starts = np.cumsum(self.lengths + 1) - self.lengths - 1
        self.num_primary = len(primary)
        self.num_control = len(control)
        self.both_strands = both_strands
        self._index()

    def numbers(self, width: int) -> npt.NDArray[np.int64]:
        """Returns the index of the word at each position.

        Args:
            width: Length of a word in bases, 6 to 20.

        Returns:
            Indices, first base most significant, int64, (T,). With both strands, the
            smaller of the indices of a word and its reverse complement; -1 where a
            word has N or extends over the end of its sequence.
        """
        count = self.num_places
        forward = np.zeros(count, np.int64)
        other = np.zeros(count, np.int64)
        is_known = np.ones(count, bool)
        done = 0
        while done < width:
            offset = min(done, width - _GROUP)
            added = offset + _GROUP - done
            group = self._words[offset : offset + count]
            is_known &= group < _WORDS
            group = group & (1 << 2 * added) - 1
            forward = forward << 2 * added | group
            other |= _reverse_complements(added)[group] << 2 * done
            done += added
        if self.both_strands:
            np.minimum(forward, other, out=forward)
        forward[~is_known] = -1
        return forward

    def _index(self) -> None:
        """Stores the index of the word of `_GROUP` bases at each position."""
        # The type is intp, as np.take converts any other type in each call.
        count = len(self.text) - _GROUP + 1
        words = np.zeros(count, np.intp)
        is_known = np.ones(count, bool)
        for offset in range(_GROUP):
            column = self.text[offset : offset + count]
            words *= alphabet.NUM_BASES
            words += column
            is_known &= column < alphabet.NUM_BASES
        words[~is_known] = _WORDS
        self._words = words

    @property
    def num_places(self) -> int:
        """Number of positions T where a motif may begin, also where it does not fit."""
        return len(self.text) - options.LARGEST_WIDTH

    def num_sites(self, width: int) -> tuple[int, int]:
        """Returns the numbers of words of a width in primary sequences and controls."""
        sites = np.maximum(self.lengths - width + 1, 0)
        primary = int(sites[: self.num_primary].sum())
        return primary, int(sites.sum()) - primary

    def select(self, is_primary: npt.NDArray[np.bool_]) -> SequenceSet:
        """Returns the same sequences with another choice of primary sequences."""
        parts = [
            self.text[start : start + length]
            for start, length in zip(self.starts, self.lengths, strict=True)
        ]
        primary = [p for p, chosen in zip(parts, is_primary, strict=True) if chosen]
        control = [p for p, chosen in zip(parts, is_primary, strict=True) if not chosen]
        return SequenceSet(primary, control, both_strands=self.both_strands)

    def score(self, log_odds: npt.NDArray[np.float64]) -> Scores:
        """Scores a motif at every position.

        Args:
            log_odds: Scores of bases, (W, 4), W from 6 to 20.

        Returns:
            The scores of the better strand; minus infinity where a word has N or
            extends over the end of its sequence.
        """
        end = self.num_places
        tables = _tables(log_odds, both_strands=self.both_strands)
        scores = np.empty(end, np.float32)
        size = min(_BLOCK, end)
        total, term = np.empty((2, size), np.complex64)
        for start in range(0, end, size):
            length = min(size, end - start)
            sums, terms = total[:length], term[:length]
            for index, (offset, table) in enumerate(tables):
                first = start + offset
                words = self._words[first : first + length]
                np.take(table, words, out=terms if index else sums, mode="clip")
                if index:
                    sums += terms
            strands = sums.view(np.float32).reshape(-1, 2)
            np.maximum(strands[:, 0], strands[:, 1], out=scores[start : start + length])
        return Scores(scores, log_odds)

    def best(self, scores: Scores) -> npt.NDArray[np.float32]:
        """Returns the best score of each sequence, float32, (S,)."""
        return np.maximum.reduceat(scores.values, self.starts)

    def hits(self, scores: Scores, threshold: float) -> Hits:
        """Returns the best position in each primary sequence that reaches a score.

        Args:
            scores: Scores at every position.
            threshold: Minimum score in bits.

        Returns:
            One hit per sequence; the first if several have the same score.
        """
        end = int((self.lengths[: self.num_primary] + 1).sum())
        positions = np.flatnonzero(scores.values[:end] >= threshold)
        sequences = np.searchsorted(self.starts, positions, side="right") - 1
        order = np.lexsort((positions, -scores.values[positions], sequences))
        positions, sequences = positions[order], sequences[order]
        is_first = np.diff(sequences, prepend=-1) > 0
        positions, sequences = positions[is_first], sequences[is_first]
        is_reverse = self._is_reverse(scores, positions)
        words = self._words_at(positions, is_reverse, scores.width)
        return Hits(sequences, positions, is_reverse, words)

    def erase(self, scores: Scores, threshold: float) -> None:
        """Replaces all sites that reach a score by N."""
        positions = np.flatnonzero(scores.values >= threshold)
        self.text[positions[:, None] + np.arange(scores.width)] = alphabet.N
        self._index()

    def flanked(self, hits: Hits, width: int, flank: int) -> npt.NDArray[np.uint8]:
        """Returns the words of hits with flanking bases.

        Args:
            hits: Hits of a motif.
            width: Width of the motif in bases.
            flank: Number of bases on each side.

        Returns:
            Codes on the strand of the motif, (N, width + 2 flank); N outside the
            sequence.
        """
        return self._words_at(hits.places, hits.is_reverse, width, flank)

    def _is_reverse(
        self, scores: Scores, positions: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.bool_]:
        """Returns at which positions the motif lies on the reverse strand."""
        if not self.both_strands:
            return np.zeros(len(positions), bool)
        words = self.text[positions[:, None] + np.arange(scores.width)]
        columns = np.arange(scores.width)
        forward = scores.log_odds[columns, words].sum(1)
        return scores.log_odds[::-1, ::-1][columns, words].sum(1) > forward

    def _words_at(
        self,
        positions: npt.NDArray[np.intp],
        is_reverse: npt.NDArray[np.bool_],
        width: int,
        flank: int = 0,
    ) -> npt.NDArray[np.uint8]:
        """Returns words; bases beyond the end of a sequence are N."""
        at = positions[:, None] + np.arange(-flank, width + flank)
        words = self.text[np.clip(at, 0, len(self.text) - 1)]
        if flank:
            index = np.searchsorted(self.starts, positions, side="right") - 1
            start = self.starts[index][:, None]
            is_inside = (at >= start) & (at < start + self.lengths[index][:, None])
            words = np.where(is_inside, words, alphabet.N).astype(np.uint8)
        words[is_reverse] = alphabet.COMPLEMENT[words[is_reverse]][:, ::-1]
        return words


def _tables(
    log_odds: npt.NDArray[np.float64], *, both_strands: bool
) -> list[tuple[int, npt.NDArray[np.complex64]]]:
    """Returns the offset of each group of columns and the scores of its words.

    A complex number holds the scores of the forward and the reverse strand, so that
    one look-up and one addition serve both.
    """
    width = len(log_odds)
    other = log_odds[::-1, ::-1] if both_strands else np.full_like(log_odds, -np.inf)
    pairs = np.stack([log_odds, other], axis=-1)  # (W, 4, 2)
    tables = []
    done = 0
    while done < width:
        offset = min(done, width - _GROUP)  # the last group overlaps the previous one
        sums = np.zeros((1, 2))
        for column in range(offset, offset + _GROUP):
            term = pairs[column] if column >= done else np.zeros((4, 2))
            sums = (sums[:, None] + term).reshape(-1, 2)
        sums = np.vstack([sums, np.full((1, 2), -np.inf)]).astype(np.float32)
        tables.append((offset, np.ascontiguousarray(sums).view(np.complex64).ravel()))
        done = offset + _GROUP
    return tables


@functools.cache
def _reverse_complements(width: int) -> npt.NDArray[np.int64]:
    """Returns the index of the reverse complement of each word, (4^width,)."""
    words = np.arange(alphabet.NUM_BASES**width)
    reversed_words = np.zeros_like(words)
    for column in range(width):
        base = words >> 2 * column & 3
        reversed_words |= 3 - base << 2 * (width - 1 - column)
    return reversed_words
