"""Selection of readouts for few labels; NumPy and scikit-learn only.

Regularised linear heads over fixed features are compared by cross-validation. The mean
of their logits, weighted by how well each head predicts, becomes one dense layer. With
few rows many heads contribute, with more rows only the best.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import threadpoolctl
from scipy import special

from genomenet import task_kinds
from genomenet.data import folds as folds_lib
from genomenet.data import tasks
from genomenet.training import heads

FOLDS: Final = 5
PENALTIES: Final = (0.1, 1.0, 10.0, 100.0)
"""Inverse strengths of the L2 penalty on features of mean square length 1."""

MOST: Final = 10
"""Largest number of heads that are averaged."""

_HELD_OUT_ROWS: Final = 200  # fewer rows are split into folds repeatedly
_MOST_REPEATS: Final = 5  # of the split into folds
_SEED_STEP: Final = 1 << 16  # between the seeds of repeated splits
_EVIDENCE_WEIGHT: Final = 0.5  # of held-out loss; below 1, as heads share rows
_KMER_WEIGHT: Final = 4.0  # prior weight of k-mer counts; other kinds have 1
_MIN_SHARE: Final = 0.05  # of the largest share; heads below it are left out
_FACTORS: Final = np.geomspace(0.25, 4.0, 17)  # candidate factors of the logits

Array = npt.NDArray[Any]
Readout = tuple[str, ...]
Features = Mapping[str, Mapping[str, Array]]
"""Strands → name of a readout → its values, (N, C)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One linear head that was tried.

    Attributes:
        readout: Names of the readouts that it reads, concatenated.
        strands: Strands that it reads, a key of the features.
        penalty: The best of `PENALTIES`.
        loss: Mean loss over the held-out folds: cross-entropy in nats, or the squared
            error of the scaled label.
        score: AUROC over the held-out folds, or Pearson's correlation.
        share: Factor of its logits in the sum of heads; 0 if it is not a member.
    """

    readout: Readout
    strands: str
    penalty: float
    loss: float
    score: float
    share: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """The chosen heads and the evidence for them.

    Attributes:
        members: Heads whose logits are summed, the best first.
        loss: Mean loss on rows that were held out of the choice: each fold is
            predicted by the choice on the other folds.
        score: AUROC, or Pearson's correlation, on the same rows.
        tried: All candidates, the best first.
        of_strands: Strands → score of the best head or mean of heads.
        is_clear: Whether the other strands predict worse by more than a standard
            error; False where there are no others.
        folds: Fold of each row, int, (N,).
    """

    members: tuple[Candidate, ...]
    loss: float
    score: float
    tried: tuple[Candidate, ...]
    of_strands: Mapping[str, float]
    is_clear: bool
    folds: Array

    @property
    def strands(self) -> str:
        """The strands that all members read."""
        return self.members[0].strands

    @property
    def readout(self) -> Readout:
        """The readouts of all members without repeats, in their order."""
        return tuple(dict.fromkeys(n for m in self.members for n in m.readout))


@dataclasses.dataclass(frozen=True)
class Head:
    """A dense layer over standardised features.

    Attributes:
        mean: Subtracted from each channel, (C,).
        factor: Factor of each channel after the subtraction, (C,).
        kernel: (C, outputs).
        bias: (outputs,).
    """

    mean: Array
    factor: Array
    kernel: Array
    bias: Array

    def __call__(self, features: Array) -> Array:
        """Returns the logits of features: (N, C) → (N, outputs)."""
        return (features - self.mean) * self.factor @ self.kernel + self.bias


def choose(
    features: Features,
    readouts: Sequence[Readout],
    truth: Array,
    task: tasks.Task,
    groups: Sequence[Any],
    *,
    weights: Array | None = None,
    seed: int = 0,
) -> Choice:
    """Compares linear heads by cross-validation.

    The held-out logits of each head are multiplied by the factor that gives the lowest
    loss, and heads are compared by it. Few rows are split into folds repeatedly. The
    chosen strands are those with the largest total weight of heads. Their best heads
    are scaled to equal spread and averaged, with weights that decrease with the loss.

    Args:
        features: Features of all training rows.
        readouts: Candidates; every strand has features of their names.
        truth: Labels, as `labels.Task.encode` returns them; scaled for regression.
        task: The task.
        groups: Group of each row. Rows of a group, such as repeats, share a fold.
        weights: Weights of the rows, (N,); 1 by default.
        seed: Seed of the folds.

    Returns:
        The choice.

    Raises:
        ValueError: If there are fewer than two groups.
    """
    weights = np.ones(len(truth)) if weights is None else np.asarray(weights)
    count = len(truth)
    repeats = min(max(_HELD_OUT_ROWS // count, 1), _MOST_REPEATS)
    fold_sets = [
        folds_lib.assign(
            truth, task, groups, count=FOLDS, seed=seed + _SEED_STEP * index
        )
        for index in range(repeats)
    ]
    pairs = [(strands, readout) for strands in features for readout in readouts]
    logits = []
    # Threads only wait for each other in problems this small.
    with threadpoolctl.threadpool_limits(1):
        for strands, readout in pairs:
            reduced, _ = heads.fewer_channels(
                heads.scaled(features[strands], readout)[0]
            )
            per_fold_set = [
                _out_of_fold(reduced, truth, task, weights, folds)
                for folds in fold_sets
            ]
            logits.append(np.concatenate(per_fold_set, axis=1))
    logits = np.stack(logits)  # (candidates, penalties, repeats·N, outputs)
    truth = np.concatenate([truth] * repeats)
    weights = np.tile(weights / repeats, repeats)
    chosen = _select(pairs, logits, truth, task, weights, np.ones(count, bool))
    folds = fold_sets[0]
    held_out = np.zeros((count, logits.shape[-1]))
    for fold in np.unique(folds):
        is_held = folds == fold
        rest = _select(pairs, logits, truth, task, weights, ~is_held)
        held_out[is_held] = rest.mean(logits)[:count][is_held]
    tried = []
    shares = dict(zip(chosen.members, chosen.shares, strict=True))
    for index, (strands, readout) in enumerate(pairs):
        penalty, factor = chosen.best[index]
        candidate_logits = logits[index, penalty] * factor
        tried.append(
            Candidate(
                readout=readout,
                strands=strands,
                penalty=PENALTIES[penalty],
                loss=_mean_loss(candidate_logits, truth, task, weights),
                score=score(candidate_logits, truth, task),
                share=shares.get(index, 0.0),
            )
        )
    return Choice(
        members=tuple(tried[index] for index in chosen.members),
        loss=_mean_loss(held_out, truth[:count], task, weights[:count]),
        score=score(held_out, truth[:count], task),
        tried=tuple(sorted(tried, key=lambda candidate: candidate.loss)),
        of_strands={
            strands: score(strand_mean.mean(logits), truth, task)
            for strands, strand_mean in chosen.of_strands.items()
        },
        is_clear=chosen.is_clear,
        folds=folds,
    )


def fit(
    choice: Choice,
    features: Features,
    truth: Array,
    task: tasks.Task,
    *,
    weights: Array | None = None,
    rows: Array | None = None,
) -> Head:
    """Fits the chosen heads as one dense layer over `choice.readout`.

    Args:
        choice: The choice.
        features: As for `choose`.
        truth: As for `choose`.
        task: As for `choose`.
        weights: As for `choose`.
        rows: Indices of the rows to fit, all by default. Features are always
            standardised over all rows.

    Returns:
        The layer; its logits are the sum of the members' logits times their shares.
    """
    weights = np.ones(len(truth)) if weights is None else np.asarray(weights)
    rows = np.arange(len(truth)) if rows is None else rows
    of_strands = features[choice.strands]
    constants = [heads.constants(of_strands[name], name) for name in choice.readout]
    means, factors = zip(*constants, strict=True)
    widths = [len(mean) for mean in means]
    ends = np.cumsum([0, *widths])
    kernel, bias = (
        np.zeros((ends[-1], heads.num_outputs(task))),
        np.zeros(heads.num_outputs(task)),
    )
    for member in choice.members:
        scaled, shrink = heads.scaled(of_strands, member.readout)
        reduced, back = heads.fewer_channels(scaled[rows])
        slope, intercept = heads.fit(
            reduced, truth[rows], task, weights[rows], member.penalty
        )
        slope = back(slope)
        bias += member.share * intercept
        start = 0
        for name in member.readout:
            index = choice.readout.index(name)
            part = slope[start : start + widths[index]] * shrink * member.share
            kernel[ends[index] : ends[index + 1]] += part
            start += widths[index]
    return Head(np.concatenate(means), np.concatenate(factors), kernel, bias)


def score(logits: Array, truth: Array, task: tasks.Task) -> float:
    """Returns the AUROC of logits, or Pearson's correlation.

    For several classes, it is the mean over pairs of classes. For several labels, it
    is the mean over labels. It is NaN if all labels are equal. If all logits of a
    regression are equal, it is 0.
    """
    from sklearn import metrics

    if task.kind == task_kinds.REGRESSION:
        if not np.ptp(truth):
            return float("nan")
        if not np.ptp(logits):
            return 0.0
        return float(np.corrcoef(logits[:, 0], truth)[0, 1])
    if task.kind == task_kinds.MULTICLASS:
        present = np.unique(truth)
        if len(present) < 2:
            return float("nan")
        pairs = [
            metrics.roc_auc_score(
                truth[is_in := np.isin(truth, (a, b))] == b,
                special.softmax(logits[is_in], axis=1)[:, column] * sign,
            )
            for i, a in enumerate(present)
            for b in present[i + 1 :]
            for column, sign in ((b, 1), (a, -1))
        ]
        return float(np.mean(pairs))
    columns = truth[:, None] if task.kind == task_kinds.BINARY else truth
    scores = [
        metrics.roc_auc_score(column, logits[:, index])
        for index, column in enumerate(columns.T)
        if np.ptp(column)
    ]
    return float(np.mean(scores)) if scores else float("nan")


def losses(logits: Array, truth: Array, task: tasks.Task) -> Array:
    """Returns the loss of each row: (..., N, outputs) → (..., N).

    Cross-entropy in nats, averaged over labels if there are several; for regression the
    squared error.
    """
    if task.kind == task_kinds.REGRESSION:
        return np.square(logits[..., 0] - truth)
    if task.kind == task_kinds.MULTICLASS:
        total = special.logsumexp(logits, axis=-1)
        return total - logits[..., np.arange(len(truth)), truth]
    columns = truth[:, None] if task.kind == task_kinds.BINARY else truth
    return (np.logaddexp(0, logits) - columns * logits).mean(-1)


@dataclasses.dataclass(frozen=True)
class _Mean:
    """A weighted mean of heads, as indices of candidates."""

    members: list[int]
    shares: list[float]  # of the members; they sum to the factor of their mean
    best: list[tuple[int, float]]  # penalty and factor of each candidate
    of_strands: Mapping[str, _Mean] = dataclasses.field(default_factory=dict)
    is_clear: bool = False

    def mean(self, logits: Array) -> Array:
        """Returns the logits of the mean: (N, outputs)."""
        member_logits = [logits[index, self.best[index][0]] for index in self.members]
        return np.tensordot(self.shares, np.stack(member_logits), axes=1)


def _select(
    pairs: Sequence[tuple[str, Readout]],
    logits: Array,
    truth: Array,
    task: tasks.Task,
    weights: Array,
    rows: Array,
) -> _Mean:
    """Selects heads by the logits of the rows where `rows`, (N,), is True."""
    repeats = len(truth) // len(rows)
    rows = np.tile(rows, repeats)
    logits, truth, weights = logits[:, :, rows], truth[rows], weights[rows]
    best, evidence = [], np.zeros(len(pairs))
    spreads = np.ones(len(pairs))
    priors = _priors([readout for _, readout in pairs])
    for index, (_, readout) in enumerate(pairs):
        tempered = [_tempered(x, truth, task, weights) for x in logits[index]]
        penalty = int(np.argmin([np.sum(row) for row, _ in tempered]))
        best.append((penalty, tempered[penalty][1]))
        evidence[index] = priors[readout] - _EVIDENCE_WEIGHT * np.sum(
            tempered[penalty][0]
        )
        if task.kind != task_kinds.REGRESSION:
            spreads[index] = max(logits[index, penalty].std(), 1e-9)
    share = np.exp(evidence - evidence.max())
    chosen, losses_per_row, total = {}, {}, {}
    for strands in dict.fromkeys(strands for strands, _ in pairs):
        members = [
            candidate for candidate, pair in enumerate(pairs) if pair[0] == strands
        ]
        members.sort(key=lambda candidate: -evidence[candidate])
        total[strands] = sum(share[candidate] for candidate in members)
        least = _MIN_SHARE * share[members[0]]
        members = [
            candidate for candidate in members[:MOST] if share[candidate] >= least
        ]
        shares = share[members] / share[members].sum()
        spread = sum(
            shares * [best[candidate][1] * spreads[candidate] for candidate in members]
        )
        shares *= spread / spreads[members]
        strand_mean = _Mean(members, shares.tolist(), best)
        strand_losses, factor = _tempered(
            strand_mean.mean(logits), truth, task, weights
        )
        losses_per_row[strands] = strand_losses.reshape(repeats, -1).sum(axis=0)
        chosen[strands] = _Mean(members, (shares * factor).tolist(), best)
    top = max(chosen, key=lambda strands: total[strands])
    others = [row for strands, row in losses_per_row.items() if strands != top]
    is_clear = bool(others) and all(
        _difference(other, losses_per_row[top]) > 1 for other in others
    )
    strand_mean = chosen[top]
    return _Mean(strand_mean.members, strand_mean.shares, best, chosen, is_clear)


def _priors(readouts: Sequence[Readout]) -> dict[Readout, float]:
    """Returns the log prior weight of each readout.

    All kinds of readouts (means and maxima, bins, positions) have the same total
    weight, however many readouts a kind has. K-mer counts, all k together, weigh
    `_KMER_WEIGHT` times as much: with very few rows they are seldom far from the best
    (docs/log.md).
    """
    kmers = {r for r in readouts if r[0].startswith("kmers")}
    kinds = {r: "bins" if r[0].endswith("bins") else "pool" for r in readouts}
    kinds |= {r: "onehot" for r in readouts if "onehot" in r}
    counts = collections.Counter(kinds[r] for r in set(readouts) - set(kmers))
    priors = {r: -float(np.log(counts[kinds[r]])) for r in set(readouts) - set(kmers)}
    return priors | {r: float(np.log(_KMER_WEIGHT / len(kmers))) for r in kmers}


def _difference(losses: Array, others: Array) -> float:
    """Returns the mean excess of losses over others, in standard errors."""
    differences = losses - others
    error = (
        differences.std(ddof=1) / np.sqrt(len(differences))
        if len(differences) > 1
        else 0.0
    )
    return float(differences.mean() / error) if error else 0.0


def _tempered(
    logits: Array, truth: Array, task: tasks.Task, weights: Array
) -> tuple[Array, float]:
    """Returns weighted losses with the best factor of the logits, and that factor."""
    factors = np.ones(1) if task.kind == task_kinds.REGRESSION else _FACTORS
    row_losses = losses(factors[:, None, None] * logits, truth, task) * weights
    best = int(row_losses.mean(axis=1).argmin())
    return row_losses[best], float(factors[best])


def _mean_loss(logits: Array, truth: Array, task: tasks.Task, weights: Array) -> float:
    return float(np.average(losses(logits, truth, task), weights=weights))


def _out_of_fold(
    features: Array, truth: Array, task: tasks.Task, weights: Array, folds: Array
) -> Array:
    """Returns logits of rows by heads of the other folds: (penalties, N, outputs)."""
    logits = np.zeros((len(PENALTIES), len(truth), heads.num_outputs(task)))
    for fold in np.unique(folds):
        is_held = folds == fold
        for index, penalty in enumerate(PENALTIES):
            slope, bias = heads.fit(
                features[~is_held], truth[~is_held], task, weights[~is_held], penalty
            )
            logits[index, is_held] = features[is_held] @ slope + bias
    return logits
