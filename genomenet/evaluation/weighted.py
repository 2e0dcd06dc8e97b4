"""Metrics of the same rows under many weightings at once, for the bootstrap.

A weight is the number of times that a row was drawn. Shapes are N rows, S weightings, K
classes, and G groups of rows with the same score. Scores are sorted once. Weights are
whole numbers in float64, so that their sums are exact.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

OF_CLASSES: Final = ("accuracy", "balanced_accuracy", "auroc", "auprc", "f1", "mcc")
OF_NUMBERS: Final = ("pearson", "spearman", "rmse")
OF_PROBABILITIES: Final = ("brier", "ece")

BINS: Final = 15
"""Number of bins of equal width for the expected calibration error."""

_NO_SPREAD: Final = 1e-12  # for a variance that is 1 over all rows


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Rows sorted by score; rows with the same score form a group.

    Attributes:
        order: Indices of rows from the lowest score to the highest, int32, (N,).
        starts: Index in `order` at which each group starts, int32, (G,).
        group: Index of the group of each row, int32, (N,).
    """

    order: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int32]
    group: npt.NDArray[np.int32]

    def sums(self, weights: Array) -> Array:
        """Sums weights, (N, S), over each group: (G, S)."""
        ordered = weights[self.order]
        if len(self.starts) == len(self.order):
            return ordered
        return np.add.reduceat(ordered, self.starts, axis=0)


def rank(scores: npt.NDArray[np.generic]) -> Ranking:
    """Sorts scores, (N,)."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    is_start = np.append(True, ordered[1:] != ordered[:-1])
    group = np.empty(len(scores), np.int32)
    group[order] = np.cumsum(is_start) - 1
    starts = np.flatnonzero(is_start)
    return Ranking(order.astype(np.int32), starts.astype(np.int32), group)


def wins(ranking: Ranking, is_positive: Flags, weights: Array, rivals: Array) -> Array:
    """Counts the rivals that score below positive rows; a tie is half a win.

    Args:
        ranking: Ranking of the N rows.
        is_positive: Whether a row is positive, bool, (N,).
        weights: Weights of the positive rows, (N, S); others are not read.
        rivals: Weights of the other rows, (N, S), 0 where `is_positive`.

    Returns:
        Weighted count of wins, (S,). Divided by the weight of all pairs, it is the
        area under the ROC curve.
    """
    level = ranking.sums(rivals)  # (G, S)
    below = np.cumsum(level, axis=0) - level / 2
    return _total(weights[is_positive], below[ranking.group[is_positive]])


def average_precision(ranking: Ranking, is_positive: Flags, weights: Array) -> Array:
    """Returns the area under the steps of the precision-recall curve.

    Args:
        ranking: Ranking of the N rows.
        is_positive: Whether a row is positive, bool, (N,).
        weights: Weights of all rows, (N, S).

    Returns:
        Mean over positive rows of the precision at their score, (S,); NaN without
        positive rows.
    """
    every = ranking.sums(weights)
    positive = ranking.sums(weights * is_positive[:, None])
    hits = positive.sum(0) - np.cumsum(positive, axis=0) + positive
    called = every.sum(0) - np.cumsum(every, axis=0) + every
    precision = _divide(hits, called, empty=0.0)  # (G, S)
    precisions = precision[ranking.group[is_positive]]
    return _divide(_total(weights[is_positive], precisions), positive.sum(0))


class LabelMetrics:
    """Metrics of K labels that are present or absent; of two classes with K = 1.

    Each metric is a mean over labels: accuracy over all labels, the others over labels
    that are present in some rows and absent in others. AUROC, average precision,
    balanced accuracy, F1 and Matthews' correlation of one label are those of
    scikit-learn.

    Args:
        truth: Whether a row has a label, bool, (N, K).
        scores: Scores of labels, (N, K); a higher score means more probable.
        guesses: Whether the label is predicted, bool, (N, K).
    """

    names = OF_CLASSES

    def __init__(self, truth: Flags, scores: npt.NDArray[np.floating], guesses: Flags):
        self._truth, self._guesses = truth, guesses
        self._rankings = [rank(column) for column in scores.T]

    def __call__(self, weights: Array) -> dict[str, Array]:
        """Returns name → metric, (S,), of weights, (N, S)."""
        total = weights.sum(0)
        rows = [self._of_label(label, weights) for label in range(len(self._rankings))]
        means = {name: _mean([row[name] for row in rows]) for name in self.names[1:]}
        accuracy = np.mean([row["accuracy"] for row in rows], axis=0) / total
        return {"accuracy": accuracy, **means}

    def _of_label(self, label: int, weights: Array) -> dict[str, Array]:
        """Returns the metrics of a label; "accuracy" is the weight of correct rows."""
        has, called = self._truth[:, label], self._guesses[:, label]
        ranking = self._rankings[label]
        total, p = weights.sum(0), weights[has].sum(0)
        n, c = total - p, weights[called].sum(0)
        hits = weights[has & called].sum(0)
        passes = n - c + hits  # true negatives
        rivals = weights * ~has[:, None]
        is_known = (p > 0) & (n > 0)
        values = {
            "balanced_accuracy": (_divide(hits, p) + _divide(passes, n)) / 2,
            "auroc": _divide(wins(ranking, has, weights, rivals), p * n),
            "auprc": average_precision(ranking, has, weights),
            "f1": _divide(2 * hits, p + c),
            "mcc": _correlation(hits * total - p * c, p * n, c * (total - c)),
        }
        known = {k: np.where(is_known, v, np.nan) for k, v in values.items()}
        return {"accuracy": hits + passes, **known}


class ClassMetrics:
    """Metrics of K classes that exclude each other.

    Means are over the classes that the drawn rows have. They are means of recall
    (balanced accuracy), F1, average precision of one class against the rest, and the
    AUROC of each pair of classes by the score of either ("one-vs-one, macro" of
    scikit-learn).

    Args:
        truth: Index of the class, int, (N,).
        scores: Scores of classes, (N, K); a higher score means more probable.
        guesses: Index of the predicted class, int, (N,).
    """

    names = OF_CLASSES

    def __init__(
        self,
        truth: npt.NDArray[np.integer],
        scores: npt.NDArray[np.floating],
        guesses: npt.NDArray[np.integer],
    ):
        self._truth = rank(truth)
        self._guesses = rank(guesses)
        self._is_hit = (truth == guesses)[:, None]
        self._present = truth[self._truth.order[self._truth.starts]]
        self._called = guesses[self._guesses.order[self._guesses.starts]]
        self._is_member = [truth == index for index in self._present]
        self._rankings = [rank(scores[:, index]) for index in self._present]

    def __call__(self, weights: Array) -> dict[str, Array]:
        """Returns name → metric, (S,), of weights, (N, S)."""
        sizes = self._truth.sums(weights)  # (K present, S)
        hits = self._truth.sums(weights * self._is_hit)
        by_guess = self._guesses.sums(weights)
        calls = np.zeros_like(sizes)
        _, present, called = np.intersect1d(
            self._present, self._called, return_indices=True
        )
        calls[present] = by_guess[called]
        total, right = weights.sum(0), hits.sum(0)
        recall = _divide(hits, sizes)
        f1 = np.where(sizes > 0, _divide(2 * hits, sizes + calls), np.nan)
        auroc, auprc = self._areas(weights, sizes)
        values = {
            "balanced_accuracy": _mean(recall),
            "auroc": auroc,
            "auprc": auprc,
            "f1": _mean(f1),
            "mcc": _correlation(
                right * total - _total(sizes, calls),
                total**2 - _total(sizes, sizes),
                total**2 - _total(by_guess, by_guess),
            ),
        }
        has_several = (sizes > 0).sum(0) > 1
        known = {k: np.where(has_several, v, np.nan) for k, v in values.items()}
        return {"accuracy": right / total, **known}

    def _areas(self, weights: Array, sizes: Array) -> tuple[Array, Array]:
        """Returns the mean AUROC over pairs of classes, and the mean precision."""
        # Each class has weight 1 among the rivals, so that one pass gives the sum of
        # the areas against all other classes.
        shares = weights * _divide(1.0, sizes, empty=0.0)[self._truth.group]
        areas, precisions = np.zeros(weights.shape[1]), []
        classes = zip(self._is_member, self._rankings, sizes, strict=True)
        for is_member, ranking, size in classes:
            rivals = shares * ~is_member[:, None]
            won = wins(ranking, is_member, weights, rivals)
            areas += _divide(won, size, empty=0.0)
            precisions.append(average_precision(ranking, is_member, weights))
        count = (sizes > 0).sum(0)
        return _divide(areas, count * (count - 1.0)), _mean(precisions)


class Calibration:
    """Calibration metrics: how far probabilities are from observed frequencies.

    The Brier score is the mean of the squared errors. The expected calibration error is
    that of Guo et al. (2017) over `BINS` bins of equal width: the mean over rows of the
    difference between the mean probability and the observed frequency of the bin of the
    row; for several columns their mean.

    Args:
        squares: Squared error of the probabilities of each row, (N,).
        outcomes: Whether the predicted event occurred, bool, (N, K).
        probabilities: Probabilities of the events, (N, K).
    """

    names = OF_PROBABILITIES

    def __init__(self, squares: Array, outcomes: Flags, probabilities: Array):
        self._squares = squares
        self._gaps: Array = outcomes.astype(np.float64) - probabilities
        self._bins = [rank(bin_of(column)) for column in probabilities.T]

    def __call__(self, weights: Array) -> dict[str, Array]:
        """Returns name → metric, (S,), of weights, (N, S)."""
        total = weights.sum(0)
        errors = [
            np.abs(bins.sums(weights * gap[:, None])).sum(0) / total
            for bins, gap in zip(self._bins, self._gaps.T, strict=True)
        ]
        return {
            "brier": self._squares @ weights / total,
            "ece": np.mean(errors, axis=0),
        }


def bin_of(probabilities: Array) -> npt.NDArray[np.int64]:
    """Returns the index of the bin of each probability: 0 to `BINS` - 1."""
    return np.clip((probabilities * BINS).astype(np.int64), 0, BINS - 1)


class NumberMetrics:
    """Correlations and error of predicted numbers.

    Args:
        truth: True numbers, float, (N,).
        predicted: Predicted numbers, float, (N,).
    """

    names = OF_NUMBERS

    def __init__(self, truth: Array, predicted: Array):
        x, y = _standardised(truth), _standardised(predicted)
        self._moments = np.stack([x, y, x * x, y * y, x * y])  # (5, N)
        self._squares = (truth - predicted) ** 2
        self._rankings = rank(truth), rank(predicted)

    def __call__(self, weights: Array) -> dict[str, Array]:
        """Returns name → metric, (S,), of weights, (N, S)."""
        total = weights.sum(0)
        x, y, xx, yy, xy = self._moments @ weights / total
        first, second = (self._ranks(ranking, weights) for ranking in self._rankings)
        cross = np.einsum("ns,ns,ns->s", weights, first, second, optimize=True)
        return {
            "pearson": _bounded(xy - x * y, xx - x * x, yy - y * y),
            "spearman": _bounded(
                cross / total**3,
                _total(weights, first**2) / total**3,
                _total(weights, second**2) / total**3,
            ),
            "rmse": np.sqrt(self._squares @ weights / total),
        }

    def _ranks(self, ranking: Ranking, weights: Array) -> Array:
        """Returns the rank of each row minus the mean of all ranks, (N, S)."""
        level = ranking.sums(weights)
        return (np.cumsum(level, axis=0) - level / 2 - weights.sum(0) / 2)[
            ranking.group
        ]


def _total(a: Array, b: Array) -> Array:
    """Sums products over the first axis: (N, S), (N, S) -> (S,)."""
    return np.einsum("ns,ns->s", a, b)


def _divide(a: npt.ArrayLike, b: Array, empty: float = np.nan) -> Array:
    """Divides, with `empty` where b is 0."""
    out = np.full(np.broadcast_shapes(np.shape(a), b.shape), empty)
    return np.divide(a, b, out=out, where=b != 0)


def _mean(rows: list[Array] | Array) -> Array:
    """Returns the mean over the first axis, ignoring NaN; NaN if all are NaN."""
    stacked = np.asarray(rows)
    is_known = ~np.isnan(stacked)
    return _divide(np.where(is_known, stacked, 0.0).sum(0), is_known.sum(0))


def _correlation(covariance: Array, a: Array, b: Array) -> Array:
    """Returns Matthews' correlation; by convention 0 if all guesses are the same."""
    return _divide(covariance, np.sqrt(a) * np.sqrt(b), empty=0.0)


def _bounded(covariance: Array, a: Array, b: Array) -> Array:
    """Returns a correlation in [-1, 1]; NaN where either variance is 0."""
    has_spread = (a > _NO_SPREAD) & (b > _NO_SPREAD)
    spread = np.where(has_spread, np.sqrt(np.abs(a)) * np.sqrt(np.abs(b)), 0.0)
    return np.clip(_divide(covariance, spread), -1.0, 1.0)


def _standardised(values: Array) -> Array:
    """Scales values to mean 0 and variance 1; returns zeros if all are the same."""
    if np.ptp(values) == 0:
        return np.zeros_like(values)
    centred = values - values.mean()
    return centred / centred.std()
