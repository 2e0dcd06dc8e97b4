"""The choice of a readout, on features whose worth is known."""

import dataclasses

import numpy as np
import pytest

from genomenet.data import tasks
from genomenet.training import readouts

TASKS = {
    "binary": ("no", "yes"),
    "multiclass": ("a", "b", "c"),
    "multi_label": ("x", "y", "z"),
    "regression": (),
}


def task_of(kind):
    return tasks.Task(kind=kind, classes=TASKS[kind])


def problem(kind, rows=90, seed=0):
    """Returns labels, and features that tell them or do not."""
    rng = np.random.default_rng(seed)
    good = rng.normal(size=(rows, 3))
    truth = {
        "binary": (good[:, 0] > 0).astype(int),
        "multiclass": good.argmax(axis=1),
        "multi_label": (good > 0).astype(int),
        "regression": good[:, 0],
    }[kind]
    good = good + 0.3 * rng.normal(size=good.shape)
    noise = rng.normal(size=(rows, 120))
    both = {"mean": noise, "bins": rng.normal(size=(rows, 4))}
    return truth, {"forward": {**both, "mean": good}, "both": both}


@pytest.mark.parametrize("kind", TASKS)
def test_what_tells_the_labels_is_chosen(kind):
    truth, features = problem(kind)
    task = task_of(kind)
    found = readouts.choose(
        features, [("mean",), ("bins",)], truth, task, range(len(truth))
    )
    assert found.strands == "forward"
    assert found.is_clear
    assert found.members[0].readout == ("mean",)
    assert found.score > 0.85 > found.of_strands["both"]
    assert len(found.tried) == 4
    assert found.tried[0].loss == min(one.loss for one in found.tried)
    head = readouts.fit(found, features, truth, task)
    side_by_side = [features["forward"][name] for name in found.readout]
    logits = head(np.concatenate(side_by_side, axis=1))
    assert readouts.score(logits, truth, task) > 0.85


@pytest.mark.parametrize("kind", TASKS)
def test_one_head_holds_the_mean_of_several(kind):
    truth, features = problem(kind)
    task = task_of(kind)
    names = [("bins",), ("mean", "bins")]
    choice = readouts.choose(features, names, truth, task, range(len(truth)))
    members = [one for one in choice.tried if one.strands == "both"]
    members = [
        dataclasses.replace(one, share=share)
        for one, share in zip(members, (0.5, 1.5), strict=True)
    ]
    choice = dataclasses.replace(choice, members=tuple(members))
    rows = np.arange(0, len(truth), 2)
    head = readouts.fit(choice, features, truth, task, rows=rows)
    of = features["both"]
    found = head(np.concatenate([of[name] for name in choice.readout], axis=1))
    each = []
    for member in members:
        alone = dataclasses.replace(choice, members=(member,))
        one = readouts.fit(alone, features, truth, task, rows=rows)
        x = np.concatenate([of[name] for name in alone.readout], axis=1)
        each.append(one(x))
    np.testing.assert_allclose(found, np.sum(each, axis=0), atol=1e-6)


def test_the_score_of_noise_is_that_of_guessing():
    truth = np.arange(30) % 2
    best, honest = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        of = {f"kmers{n}": rng.normal(size=(30, 3)) for n in range(5)}
        names = [(name,) for name in of]
        task = task_of("binary")
        found = readouts.choose({"both": of}, names, truth, task, range(30))
        best.append(max(one.score for one in found.tried))
        honest.append(found.score)
        assert not found.is_clear
    assert 0.4 < np.mean(honest) < 0.6
    assert np.mean(best) > np.mean(honest) + 0.04


def test_a_class_that_is_rare_is_no_error():
    rng = np.random.default_rng(0)
    truth = np.array([0, 1] * 10 + [2])
    of = {"both": {"mean": rng.normal(size=(21, 30))}}
    task = task_of("multiclass")
    found = readouts.choose(of, [("mean",)], truth, task, range(21))
    head = readouts.fit(found, of, truth, task)
    assert np.isfinite(head(of["both"]["mean"])).all()
    assert np.isfinite(found.loss)
