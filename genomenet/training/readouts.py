"""Which readouts few labels are best learnt from; NumPy and scikit-learn only.

Regularised linear heads over fixed features are compared by cross-validation. The
mean of their logits, weighted by how well each predicts, becomes one dense layer: of
few rows many heads have a say, of more the best alone.
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
"""Heads of which the mean is taken, at most."""

_ROWS: Final = 200  # that are held out, where fewer are cut into folds several times
_REPEATS: Final = 5  # of the cuts, at most
_NEXT: Final = 1 << 16  # from the seed of a cut to that of the next
_TRUST: Final = 0.5  # in nats of held-out loss: heads share rows, so less than 1
_WORDS: Final = 4.0  # weight of k-mers before any row is seen; others have 1
_LEAST: Final = 0.05  # of the largest weight, below which a head is left out
_FACTORS: Final = np.geomspace(0.25, 4.0, 17)  # by which logits may be multiplied

Array = npt.NDArray[Any]
Readout = tuple[str, ...]
Features = Mapping[str, Mapping[str, Array]]
"""Strands → name of a readout → its values, (N, C)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One linear head that was tried.

    Attributes:
        readout: What it reads, side by side.
        strands: Strands that it reads, a key of the features.
        penalty: The best of `PENALTIES`.
        loss: Mean loss over the held-out folds: cross-entropy in nats, or the squared
            error of the scaled number.
        score: AUROC over the held-out folds, or Pearson's correlation.
        share: By which its logits are multiplied before they are summed; 0 where it
            has no part in the choice.
    """

    readout: Readout
    strands: str
    penalty: float
    loss: float
    score: float
    share: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        members: Heads whose logits are summed, the best first.
        loss: Of rows that the choice had not seen: each fold by what was chosen
            on the others.
        score: Of the same rows: AUROC, or Pearson's correlation.
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
        """Every readout of the members once, in their order."""
        return tuple(dict.fromkeys(n for m in self.members for n in m.readout))


@dataclasses.dataclass(frozen=True)
class Head:
    """A dense layer over standardised features.

    Attributes:
        mean: Subtracted from each channel, (C,).
        factor: By which each channel is then multiplied, (C,).
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

    Logits of held-out folds are compared by their loss after the best multiplication
    by one number; few rows are cut into folds several times. The strands are those
    whose heads weigh most together; of their heads those that predict best are
    averaged, brought to the same spread, by weights that fall with the loss.

    Args:
        features: Of all training rows.
        readouts: Candidates, each of names that every strand has.
        truth: Labels, as `labels.Task.encode` gives them; of regression scaled.
        task: What is to be learnt.
        groups: What repeats of a row share: they are in one fold.
        weights: Of the rows, (N,); 1 by default.
        seed: Of the folds.

    Returns:
        The choice.

    Raises:
        ValueError: If there are fewer than two groups.
    """
    weights = np.ones(len(truth)) if weights is None else np.asarray(weights)
    count = len(truth)
    repeats = min(max(_ROWS // count, 1), _REPEATS)
    cuts = [
        folds_lib.assign(truth, task, groups, count=FOLDS, seed=seed + _NEXT * number)
        for number in range(repeats)
    ]
    pairs = [(strands, readout) for strands in features for readout in readouts]
    logits = []
    # Threads only wait for each other in problems this small.
    with threadpoolctl.threadpool_limits(1):
        for strands, readout in pairs:
            few, _ = heads.fewer_channels(heads.scaled(features[strands], readout)[0])
            each = [_out_of_fold(few, truth, task, weights, folds) for folds in cuts]
            logits.append(np.concatenate(each, axis=1))
    logits = np.stack(logits)  # (candidates, penalties, repeats·N, outputs)
    truth = np.concatenate([truth] * repeats)
    weights = np.tile(weights / repeats, repeats)
    found = _select(pairs, logits, truth, task, weights, np.ones(count, bool))
    folds = cuts[0]
    held_out = np.zeros((count, logits.shape[-1]))
    for fold in np.unique(folds):
        is_held = folds == fold
        part = _select(pairs, logits, truth, task, weights, ~is_held)
        held_out[is_held] = part.mean(logits)[:count][is_held]
    tried = []
    shares = dict(zip(found.members, found.shares, strict=True))
    for number, (strands, readout) in enumerate(pairs):
        penalty, factor = found.best[number]
        one = logits[number, penalty] * factor
        tried.append(
            Candidate(
                readout=readout,
                strands=strands,
                penalty=PENALTIES[penalty],
                loss=_mean_loss(one, truth, task, weights),
                score=score(one, truth, task),
                share=shares.get(number, 0.0),
            )
        )
    return Choice(
        members=tuple(tried[number] for number in found.members),
        loss=_mean_loss(held_out, truth[:count], task, weights[:count]),
        score=score(held_out, truth[:count], task),
        tried=tuple(sorted(tried, key=lambda one: one.loss)),
        of_strands={
            strands: score(part.mean(logits), truth, task)
            for strands, part in found.of_strands.items()
        },
        is_clear=found.is_clear,
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
    """Fits what was chosen, as one dense layer over `choice.readout`.

    Args:
        choice: What was chosen.
        features: As for `choose`.
        truth: As for `choose`.
        task: As for `choose`.
        weights: As for `choose`.
        rows: Rows to fit, all by default; constants are always those of all.

    Returns:
        The layer; its logits are the members' sum, each times its share.
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
        few, back = heads.fewer_channels(scaled[rows])
        slope, offset = heads.fit(few, truth[rows], task, weights[rows], member.penalty)
        slope = back(slope)
        bias += member.share * offset
        at = 0
        for name in member.readout:
            number = choice.readout.index(name)
            part = slope[at : at + widths[number]] * shrink * member.share
            kernel[ends[number] : ends[number + 1]] += part
            at += widths[number]
    return Head(np.concatenate(means), np.concatenate(factors), kernel, bias)


def score(logits: Array, truth: Array, task: tasks.Task) -> float:
    """Returns the AUROC of logits, or Pearson's correlation; NaN where undefined.

    Of more classes it is the mean over pairs, of several labels over labels.
    """
    from sklearn import metrics

    if task.kind == task_kinds.REGRESSION:
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
    found = [
        metrics.roc_auc_score(column, logits[:, number])
        for number, column in enumerate(columns.T)
        if np.ptp(column)
    ]
    return float(np.mean(found)) if found else float("nan")


def losses(logits: Array, truth: Array, task: tasks.Task) -> Array:
    """Returns the loss of each row: (..., N, outputs) → (..., N).

    Cross-entropy in nats, of several labels its mean over labels, of regression the
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
        found = [logits[number, self.best[number][0]] for number in self.members]
        return np.tensordot(self.shares, np.stack(found), axes=1)


def _select(
    pairs: Sequence[tuple[str, Readout]],
    logits: Array,
    truth: Array,
    task: tasks.Task,
    weights: Array,
    rows: Array,
) -> _Mean:
    """Chooses by the logits of some rows, of which `rows` says which, (N,)."""
    repeats = len(truth) // len(rows)
    rows = np.tile(rows, repeats)
    logits, truth, weights = logits[:, :, rows], truth[rows], weights[rows]
    best, evidence = [], np.zeros(len(pairs))
    spreads = np.ones(len(pairs))
    priors = _priors([readout for _, readout in pairs])
    for number, (_, readout) in enumerate(pairs):
        found = [_tempered(x, truth, task, weights) for x in logits[number]]
        penalty = int(np.argmin([np.sum(row) for row, _ in found]))
        best.append((penalty, found[penalty][1]))
        evidence[number] = priors[readout] - _TRUST * np.sum(found[penalty][0])
        if task.kind != task_kinds.REGRESSION:
            spreads[number] = max(logits[number, penalty].std(), 1e-9)
    share = np.exp(evidence - evidence.max())
    chosen, rows_of, total = {}, {}, {}
    for strands in dict.fromkeys(strands for strands, _ in pairs):
        numbers = [n for n, pair in enumerate(pairs) if pair[0] == strands]
        numbers.sort(key=lambda n: -evidence[n])
        total[strands] = sum(share[n] for n in numbers)
        least = _LEAST * share[numbers[0]]
        numbers = [n for n in numbers[:MOST] if share[n] >= least]
        own = share[numbers] / share[numbers].sum()
        spread = sum(own * [best[n][1] * spreads[n] for n in numbers])
        own *= spread / spreads[numbers]
        one = _Mean(numbers, own.tolist(), best)
        losses_of, factor = _tempered(one.mean(logits), truth, task, weights)
        rows_of[strands] = losses_of.reshape(repeats, -1).sum(axis=0)
        chosen[strands] = _Mean(numbers, (own * factor).tolist(), best)
    top = max(chosen, key=lambda strands: total[strands])
    others = [row for strands, row in rows_of.items() if strands != top]
    is_clear = bool(others) and all(_difference(o, rows_of[top]) > 1 for o in others)
    one = chosen[top]
    return _Mean(one.members, one.shares, best, chosen, is_clear)


def _priors(readouts: Sequence[Readout]) -> dict[Readout, float]:
    """Returns the log weight of each readout before any row is seen.

    Kinds of readouts weigh alike, however many there are of one: means and maxima,
    bins, positions; only counts of k-mers, all k alike, weigh `_WORDS` times as much:
    of very few rows they are seldom far from the best (docs/log.md).
    """
    words = {r for r in readouts if r[0].startswith("kmers")}
    kinds = {r: "bins" if r[0].endswith("bins") else "pool" for r in readouts}
    kinds |= {r: "onehot" for r in readouts if "onehot" in r}
    counts = collections.Counter(kinds[r] for r in set(readouts) - set(words))
    found = {r: -float(np.log(counts[kinds[r]])) for r in set(readouts) - set(words)}
    return found | {r: float(np.log(_WORDS / len(words))) for r in words}


def _difference(losses: Array, others: Array) -> float:
    """Returns by how many standard errors of their mean losses are above others."""
    each = losses - others
    error = each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else 0.0
    return float(each.mean() / error) if error else 0.0


def _tempered(
    logits: Array, truth: Array, task: tasks.Task, weights: Array
) -> tuple[Array, float]:
    """Returns weighted losses after the best multiplication, and its factor."""
    factors = np.ones(1) if task.kind == task_kinds.REGRESSION else _FACTORS
    found = losses(factors[:, None, None] * logits, truth, task) * weights
    at = int(found.mean(axis=1).argmin())
    return found[at], float(factors[at])


def _mean_loss(logits: Array, truth: Array, task: tasks.Task, weights: Array) -> float:
    return float(np.average(losses(logits, truth, task), weights=weights))


def _out_of_fold(
    features: Array, truth: Array, task: tasks.Task, weights: Array, folds: Array
) -> Array:
    """Returns logits of rows by heads of other folds: (penalties, N, outputs)."""
    found = np.zeros((len(PENALTIES), len(truth), heads.num_outputs(task)))
    for fold in np.unique(folds):
        is_held = folds == fold
        for number, penalty in enumerate(PENALTIES):
            slope, bias = heads.fit(
                features[~is_held], truth[~is_held], task, weights[~is_held], penalty
            )
            found[number, is_held] = features[is_held] @ slope + bias
    return found
