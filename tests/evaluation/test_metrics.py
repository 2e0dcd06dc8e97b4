"""Metrics against scikit-learn, on weighted rows and with ties; what is undefined."""

import json
import math
import time
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as peer

from genomenet.data import tasks
from genomenet.evaluation import metrics, weighted

ROWS = 240


def task(kind, count=0):
    return tasks.Task(kind=kind, classes=tuple(f"class_{n}" for n in range(count)))


def binary(rng, rows=ROWS):
    truth = rng.integers(0, 2, rows)
    positive = np.round(np.clip(0.3 * truth + 0.7 * rng.random(rows), 0, 1), 1)  # ties
    return task("binary", 2), truth, np.stack([1 - positive, positive], axis=1)


def multiclass(rng, rows=ROWS, count=4):
    truth = rng.choice(count, rows, p=rng.dirichlet([9.0] * count))
    counts = rng.integers(1, 6, (rows, count))  # ties
    counts[np.arange(rows), truth] += 2
    return task("multiclass", count), truth, counts / counts.sum(1, keepdims=True)


def multi_label(rng, rows=ROWS, count=3):
    truth = rng.integers(0, 2, (rows, count)).astype(np.uint8)
    predicted = np.round(0.3 * truth + 0.7 * rng.random((rows, count)), 1)
    return task("multi_label", count), truth, predicted


def regression(rng, rows=ROWS):
    truth = np.round(rng.normal(size=rows), 1)
    return task("regression"), truth, np.round(truth + rng.normal(size=rows), 1)


def calibration_error(came_true, promised):
    """The mean over rows of the gap of their bin, bin by bin."""
    number = np.minimum(np.floor(promised * 15), 14)
    gaps = []
    for one in np.unique(number):
        rows = number == one
        gaps.append(abs(came_true[rows].mean() - promised[rows].mean()) * rows.mean())
    return sum(gaps)


def expected(kind, truth, predicted):
    """The same metrics by scikit-learn and SciPy."""
    if kind == "regression":
        return {
            "pearson": stats.pearsonr(truth, predicted).statistic,
            "spearman": stats.spearmanr(truth, predicted).statistic,
            "rmse": peer.root_mean_squared_error(truth, predicted),
        }
    if kind == "multi_label":
        each = [
            expected("binary", t, np.stack([1 - p, p], axis=1))
            for t, p in zip(truth.T, predicted.T, strict=True)
        ]
        return {name: np.mean([row[name] for row in each]) for name in each[0]}
    guesses = predicted.argmax(1)
    found = {
        "accuracy": peer.accuracy_score(truth, guesses),
        "balanced_accuracy": peer.balanced_accuracy_score(truth, guesses),
        "mcc": peer.matthews_corrcoef(truth, guesses),
    }
    if kind == "binary":
        return found | {
            "f1": peer.f1_score(truth, guesses),
            "auroc": peer.roc_auc_score(truth, predicted[:, 1]),
            "auprc": peer.average_precision_score(truth, predicted[:, 1]),
            "brier": peer.brier_score_loss(truth, predicted[:, 1]),
            "ece": calibration_error(truth, predicted[:, 1]),
        }
    return found | {
        "f1": peer.f1_score(truth, guesses, average="macro"),
        "auroc": peer.roc_auc_score(
            truth, predicted, multi_class="ovo", average="macro"
        ),
        "auprc": peer.average_precision_score(
            np.eye(predicted.shape[1])[truth], predicted, average="macro"
        ),
        "brier": peer.brier_score_loss(
            truth, predicted, labels=range(predicted.shape[1])
        ),
        "ece": calibration_error(truth == guesses, predicted.max(1)),
    }


CASES = pytest.mark.parametrize("case", [binary, multiclass, multi_label, regression])


@CASES
@pytest.mark.parametrize("seed", range(3))
def test_values_and_resamples_agree_with_peers(case, seed, monkeypatch):
    rng = np.random.default_rng(seed)
    kind, truth, predicted = case(rng)
    if seed == 2:  # no ties, so that the best rows of all may not be drawn
        predicted = predicted + 1e-3 * rng.random(predicted.shape)
        if kind.kind == "multi_label":
            predicted /= 1.001
        if kind.kind in ("binary", "multiclass"):
            predicted = predicted / predicted.sum(1, keepdims=True)
    seen = []
    percentiles = np.percentile
    monkeypatch.setattr(
        np, "percentile", lambda x, q: (seen.append(x), percentiles(x, q))[1]
    )
    found = metrics.score(kind, truth, predicted, resamples=4, seed=seed)
    values = {name: interval.value for name, interval in found.values.items()}
    assert list(values) == list(metrics.METRICS[kind.kind])
    peers = expected(kind.kind, truth, predicted)
    assert values == pytest.approx(peers, rel=0, abs=1e-12)
    draws = np.random.default_rng(seed)
    for number in range(4):
        rows = draws.integers(0, ROWS, ROWS)
        drawn = dict(zip(values, (x[number] for x in seen), strict=True))
        again = expected(kind.kind, truth[rows], predicted[rows])
        assert drawn == pytest.approx(again, rel=0, abs=1e-12)
    if kind.kind == "multi_label":
        flat = np.mean(truth == (predicted > 0.5))
        assert values["accuracy"] == pytest.approx(flat, abs=1e-12)
    assert found.warnings == []
    assert found.counts["rows"] == ROWS


@CASES
def test_blocks_do_not_change_the_draws(case, monkeypatch):
    kind, truth, predicted = case(np.random.default_rng(0))
    whole = metrics.score(kind, truth, predicted, resamples=40)
    monkeypatch.setattr(metrics, "_BLOCK", 7 * ROWS)
    parts = metrics.score(kind, truth, predicted, resamples=40)
    for name, interval in whole.values.items():
        assert interval.low <= interval.value <= interval.high, name
        assert interval.low < interval.high, name
        assert parts.values[name].low == pytest.approx(interval.low, abs=1e-12)
        assert parts.values[name].high == pytest.approx(interval.high, abs=1e-12)
    other = metrics.score(kind, truth, predicted, resamples=40, seed=1)
    assert other.values != whole.values


def test_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        truth = rng.integers(0, 2, 400)
        positive = np.where(rng.random(400) < 0.8, truth, 1 - truth)
        predicted = np.stack([1 - positive, positive], axis=1)
        found = metrics.score(task("binary", 2), truth, predicted, resamples=200)
        accuracy = found.values["accuracy"]
        hits += accuracy.low <= 0.8 <= accuracy.high
    assert 52 <= hits <= 60


def test_numbers_are_about_a_class_whatever_the_classes_are_called():
    """The same predictions, with the columns in either order."""
    rng = np.random.default_rng(0)
    truth = (rng.random(400) < 0.1).astype(int)
    chance = np.clip(0.3 * truth + rng.random(400) * 0.6, 0, 1)
    by_names = []
    for names in (("non-binding", "binding"), ("binding", "non-binding")):
        kind = tasks.Task(kind="binary", classes=names)
        column = kind.positive_number
        wide = np.stack([1 - chance, chance], 1)[:, :: 1 if column else -1]
        labels_ = truth if column else 1 - truth
        by_names.append(metrics.score(kind, labels_, wide, resamples=20))
        assert by_names[-1].positive == "binding"
        assert by_names[-1].to_json()["positive"] == "binding"
    first, second = (
        {name: found.value for name, found in scores.values.items()}
        for scores in by_names
    )
    assert first == pytest.approx(second)
    other = tasks.Task(
        kind="binary", classes=("binding", "non-binding"), positive="non-binding"
    )
    wide = np.stack([chance, 1 - chance], 1)
    found = metrics.score(other, 1 - truth, wide, resamples=0)
    assert found.values["f1"].value != pytest.approx(first["f1"])


def test_class_missing_in_a_binary_test_set():
    kind = tasks.Task(kind="binary", classes=("other", "enhancer"))
    predicted = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    found = metrics.score(kind, np.zeros(3, int), predicted, resamples=20)
    assert found.values["accuracy"].value == pytest.approx(2 / 3)
    assert math.isnan(found.values["auroc"].value)
    assert math.isnan(found.values["auroc"].low)
    assert (
        "auroc is undefined: the test set has no example of class 'enhancer'"
        in found.warnings
    )
    assert found.counts == {
        "rows": 3,
        "truth": {"other": 3, "enhancer": 0},
        "predicted": {"other": 2, "enhancer": 1},
    }
    values = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert values["values"]["auroc"] == {"value": None, "low": None, "high": None}


def test_class_missing_among_several_is_left_out():
    rng = np.random.default_rng(0)
    kind, truth, predicted = multiclass(rng)
    kept = truth != 2
    truth, predicted = truth[kept], predicted[kept]
    found = metrics.score(kind, truth, predicted, resamples=20)
    guesses = predicted.argmax(1)
    present = [0, 1, 3]
    pairs = []
    for a in present:
        for b in present:
            rows = (truth == a) | (truth == b)
            if a != b:
                area = peer.roc_auc_score(truth[rows] == a, predicted[rows, a])
                pairs.append(area)
    f1 = peer.f1_score(truth, guesses, labels=present, average="macro")
    assert found.values["auroc"].value == pytest.approx(np.mean(pairs), abs=1e-12)
    assert found.values["f1"].value == pytest.approx(f1, abs=1e-12)
    mcc = peer.matthews_corrcoef(truth, guesses)
    assert found.values["mcc"].value == pytest.approx(mcc, abs=1e-12)
    assert found.warnings == [
        "the test set has no example of class 'class_2': means over classes leave out "
        "such classes"
    ]


def test_labels_without_both_values_are_left_out():
    kind, truth, predicted = multi_label(np.random.default_rng(0))
    truth[:, 0], truth[:, 2] = 0, 1
    found = metrics.score(kind, truth, predicted, resamples=20)
    area = peer.roc_auc_score(truth[:, 1], predicted[:, 1])
    assert found.values["auroc"].value == pytest.approx(area, abs=1e-12)
    (warning,) = found.warnings
    assert "no example of class 'class_0'" in warning
    assert "all sequences of the test set are of class 'class_2'" in warning
    truth[:, 1] = 1
    found = metrics.score(kind, truth, predicted, resamples=5)
    assert math.isnan(found.values["f1"].value)
    assert len(found.warnings) == 5


@pytest.mark.parametrize("count", [2, 3])
def test_one_class_predicted_is_said_aloud(count):
    kind = task("binary" if count == 2 else "multiclass", count)
    truth = np.arange(1200) % count
    predicted = np.full((1200, count), 0.1)
    predicted[:, 1] = 0.9
    found = metrics.score(kind, truth, predicted, resamples=5)
    assert found.warnings == [
        "the model predicts one class only: 'class_1' for all 1,200 sequences"
    ]
    assert found.values["mcc"].value == 0.0
    assert found.values["auroc"].value == 0.5


def test_one_set_of_labels_predicted_is_said_aloud():
    kind, truth, predicted = multi_label(np.random.default_rng(0))
    found = metrics.score(kind, truth, predicted * 0, resamples=5)
    assert found.warnings == ["the model predicts no label for all 240 sequences"]
    found = metrics.score(kind, truth, predicted * 0 + [1, 0, 1], resamples=5)
    assert found.warnings == [
        "the model predicts the same labels only: classes 'class_0', 'class_2' for "
        "all 240 sequences"
    ]


def test_numbers_without_spread():
    truth = np.arange(5.0)
    found = metrics.score(task("regression"), truth, np.full(5, 0.1), resamples=20)
    assert math.isnan(found.values["pearson"].value)
    assert found.values["rmse"].value > 0
    assert found.warnings == [
        "the model predicts 0.1 for all 5 sequences",
        "pearson is undefined: the model predicts 0.1 for all 5 sequences",
        "spearman is undefined: the model predicts 0.1 for all 5 sequences",
    ]
    found = metrics.score(task("regression"), np.full(5, 3.0), truth, resamples=0)
    assert "pearson is undefined: all sequences of the test set have 3" in (
        found.warnings
    )


def test_interval_that_too_few_resamples_define():
    truth = np.zeros(4, int)
    truth[0] = 1  # in (3/4)^4 = 32 % of the resamples of 4 rows it is not drawn
    predicted = np.stack([1 - truth, truth], axis=1)
    found = metrics.score(task("binary", 2), truth, predicted, resamples=100)
    assert found.values["auroc"].low == 1.0
    one = metrics.score(task("binary", 2), truth[:2], predicted[:2], resamples=101)
    auroc = one.values["auroc"]
    assert auroc.value == 1.0
    known = [w for w in one.warnings if w.startswith("auroc has no interval")]
    assert math.isnan(auroc.low) == bool(known)


@CASES
def test_weights_count_rows(case):
    of, truth, predicted = case(np.random.default_rng(0))
    counts = np.random.default_rng(1).integers(0, 3, len(truth))
    weights = np.stack([np.ones(len(truth)), counts], axis=1).astype(float)
    rows = np.repeat(np.arange(len(truth)), counts)
    for column, which in enumerate((slice(None), rows)):
        scores = metrics.score(of, truth[which], predicted[which], resamples=0)
        found = metrics.weighted_scores(of, truth, predicted, weights)
        for name, values in found.items():
            assert values[column] == pytest.approx(scores[name].value)


def test_without_resamples():
    kind, truth, predicted = binary(np.random.default_rng(0))
    found = metrics.score(kind, truth, predicted, resamples=0)
    assert math.isnan(found.values["auroc"].low)
    assert found.warnings == []


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([0, 1], [0.5, 0.5], r"binary with 2 classes needs truth \(2,\) and"),
        ([0, 2], [[0.5, 0.5]] * 2, "truth must hold whole numbers 0 to 1"),
        ([0.0, 1.0], [[0.5, 0.5]] * 2, "truth must hold whole numbers"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], "the prediction of row 2 is"),
        (np.zeros(0, int), np.zeros((0, 2)), "no rows"),
    ],
)
def test_nonsense_is_refused(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        metrics.score(task("binary", 2), np.array(truth), np.array(predicted))


def test_task_must_be_known():
    with pytest.raises(ValueError, match="task must be one of .*got 'auto'"):
        metrics.score(task("auto"), np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="resamples must be >= 0, got -1"):
        metrics.score(task("regression"), np.ones(2), np.ones(2), resamples=-1)


def test_rare_rows_give_no_numeric_warning():
    """Weights of 0 and groups without weight divide nothing by 0."""
    kind, truth, predicted = multiclass(np.random.default_rng(0), rows=6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.score(kind, truth, predicted, resamples=50)


def test_six_thousand_rows_are_quick():
    kind, truth, predicted = binary(np.random.default_rng(0), rows=6000)
    begin = time.process_time()
    metrics.score(kind, truth, predicted)
    assert time.process_time() - begin < 5


def test_ranking_groups_ties():
    ranking = weighted.rank(np.array([0.5, 0.1, 0.5, 0.9]))
    assert ranking.group.tolist() == [1, 0, 1, 2]
    sums = ranking.sums(np.array([[1.0], [2.0], [4.0], [8.0]]))
    assert sums.tolist() == [[2.0], [5.0], [8.0]]


def test_logits_are_no_probabilities():
    logits = np.array([[3.0, -3.0], [-3.0, 3.0]])
    task = tasks.Task(kind="binary", classes=("a", "b"))
    with pytest.raises(ValueError, match="must be probabilities"):
        metrics.score(task, np.array([0, 1]), logits)
