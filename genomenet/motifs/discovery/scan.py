"""Many sequences laid side by side, and the best place of a motif in each."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet
from genomenet.motifs.discovery import options

_GROUP: Final = options.SMALLEST_WIDTH  # bases looked up at once
_WORDS: Final = alphabet.NUM_BASES**_GROUP
_BLOCK: Final = 2**16  # places scored at once: what a core's cache holds


class Scores(NamedTuple):
    """Scores of a motif at every place of a text.

    Attributes:
        values: Score of the better strand in bits, float32, (T,).
        log_odds: Scores of bases, (W, 4).
    """

    values: npt.NDArray[np.float32]
    log_odds: npt.NDArray[np.float64]

    @property
    def width(self) -> int:
        """Bases of the motif, W."""
        return len(self.log_odds)


class Hits(NamedTuple):
    """The best place of a motif in some sequences.

    Attributes:
        sequences: Number of the sequence, rising, (N,).
        places: First base, in `SequenceSet.text`, (N,).
        is_reverse: Whether the other strand holds the motif there, (N,).
        words: Bases as the motif reads them, uint8, (N, W).
    """

    sequences: npt.NDArray[np.intp]
    places: npt.NDArray[np.intp]
    is_reverse: npt.NDArray[np.bool_]
    words: npt.NDArray[np.uint8]


class SequenceSet:
    """Primary sequences, then controls, as one text with N between them.

    Args:
        primary: Codes of `dna.alphabet`, uint8, (L,) each.
        control: The same.
        both_strands: Whether motifs are looked for on both strands.

    Attributes:
        text: All bases, uint8.
        starts: First base of each sequence, (S,).
        lengths: Bases of each, (S,).
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
        """Returns the number of the word at each place.

        Args:
            width: Bases of a word, 6 to 20.

        Returns:
            First base most significant, the smaller of both strands where they are
            joined, -1 where a word holds N or does not fit, int64, (T,).
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
            other |= _turned(added)[group] << 2 * done
            done += added
        if self.both_strands:
            np.minimum(forward, other, out=forward)
        forward[~is_known] = -1
        return forward

    def _index(self) -> None:
        """Notes the word that begins at each place, (T - LARGEST_WIDTH,)."""
        # A reading of intp, as np.take converts all else anew each time.
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
        """Places of the text where a motif may begin, those of no use included."""
        return len(self.text) - options.LARGEST_WIDTH

    def num_sites(self, width: int) -> tuple[int, int]:
        """Returns how many words of a width primary sequences and controls have."""
        sites = np.maximum(self.lengths - width + 1, 0)
        primary = int(sites[: self.num_primary].sum())
        return primary, int(sites.sum()) - primary

    def select(self, is_primary: npt.NDArray[np.bool_]) -> SequenceSet:
        """Returns the same sequences with other ones as primary."""
        parts = [
            self.text[start : start + length]
            for start, length in zip(self.starts, self.lengths, strict=True)
        ]
        primary = [p for p, chosen in zip(parts, is_primary, strict=True) if chosen]
        control = [p for p, chosen in zip(parts, is_primary, strict=True) if not chosen]
        return SequenceSet(primary, control, both_strands=self.both_strands)

    def score(self, log_odds: npt.NDArray[np.float64]) -> Scores:
        """Scores a motif at every place.

        Args:
            log_odds: Scores of bases, (W, 4), W from 6 to 20.

        Returns:
            The score of the better strand; minus infinity where a word does not fit.
        """
        end = self.num_places
        tables = _tables(log_odds, both_strands=self.both_strands)
        scores = np.empty(end, np.float32)
        size = min(_BLOCK, end)
        total, term = np.empty((2, size), np.complex64)
        for start in range(0, end, size):
            number = min(size, end - start)
            one, other = total[:number], term[:number]
            for count, (offset, table) in enumerate(tables):
                place = start + offset
                words = self._words[place : place + number]
                np.take(table, words, out=other if count else one, mode="clip")
                if count:
                    one += other
            strands = one.view(np.float32).reshape(-1, 2)
            np.maximum(strands[:, 0], strands[:, 1], out=scores[start : start + number])
        return Scores(scores, log_odds)

    def best(self, scores: Scores) -> npt.NDArray[np.float32]:
        """Returns each sequence's best score, float32, (S,)."""
        return np.maximum.reduceat(scores.values, self.starts)

    def hits(self, scores: Scores, threshold: float) -> Hits:
        """Returns the best place of each primary sequence that reaches a score.

        Args:
            scores: Scores at every place.
            threshold: The score to reach, in bits.

        Returns:
            One hit a sequence, the first of equal ones.
        """
        end = int((self.lengths[: self.num_primary] + 1).sum())
        places = np.flatnonzero(scores.values[:end] >= threshold)
        sequences = np.searchsorted(self.starts, places, side="right") - 1
        order = np.lexsort((places, -scores.values[places], sequences))
        places, sequences = places[order], sequences[order]
        is_first = np.diff(sequences, prepend=-1) > 0
        places, sequences = places[is_first], sequences[is_first]
        is_reverse = self._is_reverse(scores, places)
        words = self._words_at(places, is_reverse, scores.width)
        return Hits(sequences, places, is_reverse, words)

    def erase(self, scores: Scores, threshold: float) -> None:
        """Writes N over all places that reach a score."""
        places = np.flatnonzero(scores.values >= threshold)
        self.text[places[:, None] + np.arange(scores.width)] = alphabet.N
        self._index()

    def flanked(self, hits: Hits, width: int, flank: int) -> npt.NDArray[np.uint8]:
        """Returns the words of hits with bases beside them.

        Args:
            hits: Hits of a motif.
            width: Its width.
            flank: Number of bases on either side.

        Returns:
            Codes, (N, width + 2 flank), as the motif reads them; N outside.
        """
        return self._words_at(hits.places, hits.is_reverse, width, flank)

    def _is_reverse(
        self, scores: Scores, places: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.bool_]:
        """Tells at which places the other strand holds the motif."""
        if not self.both_strands:
            return np.zeros(len(places), bool)
        words = self.text[places[:, None] + np.arange(scores.width)]
        columns = np.arange(scores.width)
        forward = scores.log_odds[columns, words].sum(1)
        return scores.log_odds[::-1, ::-1][columns, words].sum(1) > forward

    def _words_at(
        self,
        places: npt.NDArray[np.intp],
        is_reverse: npt.NDArray[np.bool_],
        width: int,
        flank: int = 0,
    ) -> npt.NDArray[np.uint8]:
        """Reads words, N where they reach over the end of their sequence."""
        at = places[:, None] + np.arange(-flank, width + flank)
        words = self.text[np.clip(at, 0, len(self.text) - 1)]
        if flank:
            number = np.searchsorted(self.starts, places, side="right") - 1
            start = self.starts[number][:, None]
            is_inside = (at >= start) & (at < start + self.lengths[number][:, None])
            words = np.where(is_inside, words, alphabet.N).astype(np.uint8)
        words[is_reverse] = alphabet.COMPLEMENT[words[is_reverse]][:, ::-1]
        return words


def _tables(
    log_odds: npt.NDArray[np.float64], *, both_strands: bool
) -> list[tuple[int, npt.NDArray[np.complex64]]]:
    """Returns sums of columns for every word of a group, and the group's offset.

    A pair of scores, of the strand given and of the other one, lies in a complex
    number: one look-up and one addition serve both.
    """
    width = len(log_odds)
    other = log_odds[::-1, ::-1] if both_strands else np.full_like(log_odds, -np.inf)
    pairs = np.stack([log_odds, other], axis=-1)  # (W, 4, 2)
    tables = []
    done = 0
    while done < width:
        offset = min(done, width - _GROUP)  # the last group overlaps the one before
        sums = np.zeros((1, 2))
        for column in range(offset, offset + _GROUP):
            term = pairs[column] if column >= done else np.zeros((4, 2))
            sums = (sums[:, None] + term).reshape(-1, 2)
        sums = np.vstack([sums, np.full((1, 2), -np.inf)]).astype(np.float32)
        tables.append((offset, np.ascontiguousarray(sums).view(np.complex64).ravel()))
        done = offset + _GROUP
    return tables


@functools.cache
def _turned(width: int) -> npt.NDArray[np.int64]:
    """Returns the number of each word's reverse complement, (4^width,)."""
    words = np.arange(alphabet.NUM_BASES**width)
    turned = np.zeros_like(words)
    for column in range(width):
        base = words >> 2 * column & 3
        turned |= 3 - base << 2 * (width - 1 - column)
    return turned
