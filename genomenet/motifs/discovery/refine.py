"""Fits the matrix that best separates primary sequences from controls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet, encode
from genomenet.motifs import pwm
from genomenet.motifs.discovery import scan, significance, words

_SEED_WIDTHS: Final = (6, 8, 10, 12, 15, 20)  # bases; columns are added for the others
_NUM_WORDS: Final = 100  # best words per width
_NUM_SEEDS: Final = 12  # dissimilar words among these, evaluated as matrices
_NUM_REFINED: Final = 4  # best of these, which are refined
_NUM_WIDENED: Final = 3  # best of all refined models, whose width is fitted
_MAX_ITERATIONS: Final = 20
_SEED_COUNTS: Final = 10.0  # number of sites that a seed word counts as
# Minimum gain of a column in nats, as it has three free parameters.
_COLUMN_PENALTY: Final = 3.0
_LEAST_INFORMATION: Final = 0.25  # minimum bits of the first and the last column
_MUCH_INFORMATION: Final = 0.5  # minimum mean bits of columns added by `_widen`
_KEPT: Final = 0.95  # minimum share of the deviance that is left with such columns
_LENGTH_TOLERANCE: Final = 0.01  # relative, of mean lengths, for Fisher's test


class Model(NamedTuple):
    """A matrix and how well it separates training sequences.

    Attributes:
        counts: Counts of bases in its sites, (W, 4).
        threshold: Minimum score of a site, in bits.
        deviance: Log-likelihood ratio in nats, see `significance.deviance`.
    """

    counts: npt.NDArray[np.float64]
    threshold: float
    deviance: float

    @property
    def objective(self) -> float:
        """Value that a search maximises, in nats."""
        return self.deviance - _COLUMN_PENALTY * len(self.counts)


class Fit(NamedTuple):
    """Search for the matrix that best separates sequences.

    Attributes:
        min_width: Minimum width of a motif in bases.
        max_width: Maximum width of a motif in bases.
        background: Frequencies of A, C, G, T, for scores.
        map: Function like `map`: it may call the function in any order, and returns
            the results in the order of the arguments.
    """

    min_width: int
    max_width: int
    background: tuple[float, float, float, float]
    map: Callable[[Callable, Iterable], Iterable]

    def search(self, sequences: scan.SequenceSet) -> Model | None:
        """Returns the best model, or None if no word is enriched."""
        refined: list[Model] = []
        for width in self._seed_widths():
            seeds = self._seeds(sequences, width)
            refined += self.map(lambda seed: self.refine(sequences, seed), seeds)
        if not refined:
            return None
        refined.sort(key=lambda model: -model.objective)
        widened = self.map(
            lambda model: self.fit_width(sequences, model), refined[:_NUM_WIDENED]
        )
        return self._widen(sequences, max(widened, key=lambda model: model.objective))

    def _seed_widths(self) -> list[int]:
        low, high = self.min_width, self.max_width
        return sorted({low, *(w for w in _SEED_WIDTHS if low <= w <= high)})

    def _seeds(self, sequences: scan.SequenceSet, width: int) -> list[Model]:
        """Returns the best words of a width as models."""
        counts = words.count(sequences, width)
        deviance = significance.deviance(
            counts.positives,
            sequences.num_primary,
            counts.negatives,
            sequences.num_control,
            share=self._share(sequences, width),
        )
        best = np.argsort(-deviance, kind="stable")[:_NUM_WORDS]
        letters = words.letters(counts.words[best[deviance[best] > 0]], width)
        rows = words.distinct(letters, _NUM_SEEDS, both_strands=sequences.both_strands)
        models = self.map(
            lambda word: self._separated(
                sequences, _SEED_COUNTS * encode.one_hot(word, np.float64)
            )[0],
            letters[rows],
        )
        return sorted(models, key=lambda model: -model.deviance)[:_NUM_REFINED]

    def _log_odds(self, counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return pwm.Motif("", counts, self.background).log_odds()

    def _separated(
        self, sequences: scan.SequenceSet, counts: npt.NDArray[np.float64]
    ) -> tuple[Model, scan.Scores]:
        """Returns a model with the threshold that separates best, and its scores."""
        scores = sequences.score(self._log_odds(counts))
        best = sequences.best(scores)
        order = np.argsort(-best, kind="stable")
        ranked = best[order]
        is_primary = order < sequences.num_primary
        # Thresholds lie between two distinct scores, the higher one above 0.
        is_cut = np.append(ranked[1:] < ranked[:-1], True) & (ranked > 0)
        cuts = np.flatnonzero(is_cut)
        if not len(cuts):
            return Model(counts, math.inf, 0.0), scores
        positives = np.cumsum(is_primary, dtype=np.int64)[cuts]
        deviance = significance.deviance(
            positives,
            sequences.num_primary,
            cuts + 1 - positives,
            sequences.num_control,
            share=self._share(sequences, len(counts)),
        )
        chosen = int(cuts[np.argmax(deviance)])
        # A threshold between two scores is not sensitive to rounding.
        following = float(ranked[chosen + 1]) if chosen + 1 < len(ranked) else -math.inf
        threshold = (float(ranked[chosen]) + max(following, 0.0)) / 2
        return Model(counts, threshold, float(deviance.max())), scores

    def _share(self, sequences: scan.SequenceSet, width: int) -> float | None:
        """Returns the share of sites in primary sequences, None if lengths match."""
        primary, control = sequences.num_sites(width)
        mean = primary / sequences.num_primary
        other = control / sequences.num_control
        if abs(mean - other) <= _LENGTH_TOLERANCE * max(mean, other):
            return None
        return primary / (primary + control)

    def refine(self, sequences: scan.SequenceSet, model: Model) -> Model:
        """Recounts the matrix from its own sites as long as it separates better."""
        current, scores = self._separated(sequences, model.counts)
        best = None  # best model with counts of sites; the first may be a seed word
        for _ in range(_MAX_ITERATIONS):
            if not math.isfinite(current.threshold):
                break
            hits = sequences.hits(scores, current.threshold)
            if not len(hits.places):
                break
            current, scores = self._separated(sequences, _counts(hits.words))
            if best is not None and current.deviance <= best.deviance:
                break
            best = current
        return best or current

    def fit_width(self, sequences: scan.SequenceSet, model: Model) -> Model:
        """Adds and removes columns at the ends as long as the objective grows."""
        low, high = self.min_width, self.max_width
        model = self._trim(sequences, model)
        tried = {(0, 0)}
        left = right = 0  # columns added at each end, negative if removed
        for _ in range(2 * (high - low) + 1):
            changed = []
            for a, b in _CHANGES:
                if (left + a, right + b) not in tried:
                    tried.add((left + a, right + b))
                    changed.append((self._changed(sequences, model, a, b), a, b))
            following, a, b = max(
                changed, key=lambda c: c[0].objective, default=(model, 0, 0)
            )
            if following.objective <= model.objective:
                break
            model, left, right = following, left + a, right + b
        return self._trim(sequences, model)

    def _widen(self, sequences: scan.SequenceSet, model: Model) -> Model:
        """Adds informative columns at the ends, even if the objective does not grow."""
        high = self.max_width
        while free := high - len(model.counts):
            width = len(model.counts)
            hits = self._hits(sequences, model)
            counts = _counts(sequences.flanked(hits, width, free))
            bits = _information(counts, len(hits.places)) - _MUCH_INFORMATION
            left = np.concatenate([[0], np.cumsum(bits[:free][::-1])])
            right = np.concatenate([[0], np.cumsum(bits[free + width :])])
            sums = np.where(
                np.add.outer(np.arange(free + 1), np.arange(free + 1)) <= free,
                np.add.outer(left, right),
                -np.inf,
            )
            more_left, more_right = divmod(int(np.argmax(sums)), free + 1)
            if not more_left + more_right:
                break
            counts = counts[free - more_left : free + width + more_right]
            following = self.refine(sequences, Model(counts, 0, 0))
            if following.deviance < _KEPT * model.deviance:
                break
            model = following
        return model

    def _trim(self, sequences: scan.SequenceSet, model: Model) -> Model:
        """Removes columns with little information at the ends."""
        while len(model.counts) > self.min_width:
            information = pwm.Motif("", model.counts).information()[[0, -1]]
            weaker = int(np.argmin(information))
            if information[weaker] >= _LEAST_INFORMATION:
                break
            trimmed = model.counts[1:] if weaker == 0 else model.counts[:-1]
            model = self.refine(sequences, Model(trimmed, 0, 0))
        return model

    def _changed(
        self, sequences: scan.SequenceSet, model: Model, left: int, right: int
    ) -> Model:
        """Returns a refined model with columns added; the same model if that fails."""
        width, high = len(model.counts), self.max_width
        if not self.min_width <= width + left + right <= high:
            return model
        hits = self._hits(sequences, model)
        flanked = sequences.flanked(hits, width, high)
        counts = _counts(flanked[:, high - left : high + width + right])
        if not counts.sum(1).all():
            return model
        return self.refine(sequences, Model(counts, 0, 0))

    def _hits(self, sequences: scan.SequenceSet, model: Model) -> scan.Hits:
        scores = sequences.score(self._log_odds(model.counts))
        return sequences.hits(scores, model.threshold)

    def log_pvalue(self, model: Model, sequences: scan.SequenceSet) -> float:
        """Returns the logarithm of the p-value of a model on sequences."""
        scores = sequences.score(self._log_odds(model.counts))
        counts = table(sequences, scores, model.threshold)
        return self.log_test(*counts, sequences, len(model.counts))

    def log_test(
        self, positives: int, negatives: int, sequences: scan.SequenceSet, width: int
    ) -> float:
        """Tests a table: Fisher's test, or the binomial test if mean lengths differ."""
        share = self._share(sequences, width)
        if share is not None:
            return significance.binomial(positives, negatives, share)
        return significance.fisher(
            positives, sequences.num_primary, negatives, sequences.num_control
        )


# Columns to add left and right: one or two at an end, one fewer at an end, a shift.
_CHANGES: Final = ((1, 0), (0, 1), (2, 0), (0, 2), (-1, 0), (0, -1), (1, -1), (-1, 1))


def _counts(letters: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Counts bases of words by column, (N, W) → (W, 4); N is not counted."""
    bases = np.arange(alphabet.NUM_BASES)
    return (letters[..., None] == bases).sum(0).astype(np.float64)


def _information(
    counts: npt.NDArray[np.float64], num_sites: int
) -> npt.NDArray[np.float64]:
    """Returns bits of columns, corrected for chance; -inf where most sites have N."""
    totals = counts.sum(1)
    bits = pwm.information(counts / np.maximum(totals, 1)[:, None])
    bits -= 1.5 / math.log(2) / np.maximum(totals, 1)
    return np.where(2 * totals >= num_sites, bits, -np.inf)


def table(
    sequences: scan.SequenceSet, scores: scan.Scores, threshold: float
) -> tuple[int, int]:
    """Returns the numbers of primary sequences and of controls with a site."""
    has_site = sequences.best(scores) >= threshold
    positives = int(has_site[: sequences.num_primary].sum())
    return positives, int(has_site.sum()) - positives
