"""Settings and plans, without a model."""

import math

import pytest

from genomenet.evaluation import protocols


def labels(plan):
    return list(dict.fromkeys(run.label for run in plan))


@pytest.mark.parametrize(
    ("shots", "epochs", "batch", "rate"),
    [
        (10, 20, 5, 1e-4),
        (50, 20, 5, 1e-4),
        (100, 20, 5, 1e-4),
        (200, 20, 5, 1e-4),
        (500, 5, 15, 5e-5),
        (1000, 5, 15, 5e-5),
    ],
)
def test_few_shot_trains_as_published(shots, epochs, batch, rate):
    protocol = protocols.Protocol(kind="few_shot", settings=(shots,))
    recipe = protocol.recipe(shots)
    assert recipe.epochs_of(2 * shots) == epochs
    settings = recipe.settings(seed=3, rate_of_family=0.5)
    assert (settings.batch_size, settings.learning_rate) == (batch, rate)
    assert (settings.beta_1, settings.beta_2) == (0.9, 0.999)
    assert (settings.epsilon, settings.weight_decay) == (1e-8, 0.01)
    assert (settings.clip_norm, settings.schedule) == (1.0, "linear")
    assert settings.seed == 3
    assert (protocols.WARMUP, protocols.DROPOUT) == (0.1, 0.1)


def test_default_settings():
    assert protocols.Protocol(kind="few_shot").settings == (10, 50, 100, 500, 1000)
    fractions = protocols.Protocol(kind="label_fraction")
    assert fractions.settings == (0.001, 0.01, 0.1, 1.0)
    own = fractions.recipe(0.1, "all").settings(0, rate_of_family=0.5)
    assert (own.batch_size, own.learning_rate) == (32, 0.5)


@pytest.mark.parametrize("kind", ["few_shot", "label_fraction"])
def test_a_linear_probe_has_one_recipe(kind):
    probe = protocols.Protocol(kind=kind).recipe(1, "head")
    assert probe.settings(0, rate_of_family=0.5).learning_rate == 1e-2
    assert probe.epochs_of(20) == 200


def test_few_examples_are_read_more_often():
    recipe = protocols.Protocol(kind="label_fraction").recipe(0.001, "all")
    assert recipe.epochs_of(4) == 200
    assert recipe.epochs_of(100_000) == 10
    assert protocols.CNN_RECIPE.epochs_of(20) == 200
    assert protocols.CNN_RECIPE.epochs_of(64) == 100
    assert protocols.CNN_RECIPE.epochs_of(100_000) == 1


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("zero_shot", (), "few_shot, label_fraction, got 'zero_shot'"),
        ("few_shot", (0,), "whole numbers >= 1, got 0"),
        ("few_shot", (0.5,), "whole numbers >= 1, got 0.5"),
        ("label_fraction", (0.0,), "above 0, at most 1, got 0.0"),
        ("label_fraction", (1.5,), "above 0, at most 1, got 1.5"),
    ],
)
def test_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        protocols.Protocol(kind=kind, settings=settings)


def test_settings_are_sorted_once_each():
    assert protocols.Protocol(kind="few_shot", settings=(50, 10, 50)).settings == (
        10,
        50,
    )


def test_a_plan_of_few_shots():
    protocol = protocols.Protocol(kind="few_shot", settings=(10, 50))
    plan = protocols.plan(protocol, {"logo": True, "preset": False}, 3)
    assert labels(plan) == [
        "logo",
        "logo, head",
        "logo, readouts",
        "random logo",
        "random logo, head",
        "random logo, readouts",
        "random preset",
        "random preset, head",
        "random preset, readouts",
        *protocols.BASELINES,
    ]
    assert len(plan) == 15 * 2 * 3 == len({run.key for run in plan})
    assert [run.seed for run in plan] == [0] * 30 + [1] * 30 + [2] * 30
    assert {run.train for run in plan if run.init} == {"all", "head", "readouts"}
    both = {"logo": True, "preset": False}
    assert labels(protocols.plan(protocol, both, 1, from_scratch=False)) == [
        "logo",
        "logo, head",
        "logo, readouts",
        "random preset",
        "random preset, head",
        "random preset, readouts",
        *protocols.BASELINES,
    ]
    with pytest.raises(ValueError, match="seeds must be >= 1, got 0"):
        protocols.plan(protocol, {"logo": True}, 0)


def row(run, seconds=1.0):
    return {
        "model": run.label,
        "name": run.name,
        **({"init": run.init, "train": run.train} if run.init else {}),
        "shots": run.setting,
        "seed": run.seed,
        "seconds": seconds,
    }


def test_the_time_that_remains():
    protocol = protocols.Protocol(kind="few_shot", settings=(10, 50))
    plan = protocols.plan(protocol, {"m": False}, 4)
    assert math.isnan(protocols.remaining([], plan, "shots"))
    of_model = [run for run in plan if run.label == "random m" and run.setting == 10]
    pairs = zip(of_model[:3], (1, 2, 60), strict=True)
    rows = [row(run, seconds) for run, seconds in pairs]
    assert protocols.remaining(rows, of_model[3:], "shots") == 2
    other = [run for run in plan if run.label == "random m" and run.setting == 50]
    assert protocols.remaining(rows, other, "shots") == 4 * 2  # same model
    assert protocols.remaining(rows, plan[2:3], "shots") == 2  # all there is
    assert protocols.remaining(rows, [], "shots") == 0


def test_rows_of_models_that_joined_later_come_before_the_baselines():
    few = protocols.Protocol(kind="few_shot", settings=(10,))
    first, later = ({"b": True}, {"a": True})
    plan = [run for models in (first, later) for run in protocols.plan(few, models, 2)]
    found = protocols.in_order([row(run) for run in plan if run.train in ("", "all")])
    assert list(dict.fromkeys(r["model"] for r in found)) == [
        *("b", "random b", "a", "random a"),
        *protocols.BASELINES,
    ]
    assert [r["seed"] for r in found[:4]] == [0, 1, 0, 1]


def test_comparisons_leave_out_what_nobody_asks():
    few = protocols.Protocol(kind="few_shot", settings=(10,))
    models = {"a": True, "b": True, "preset": False}
    rows = [row(run) for run in protocols.plan(few, models, 1)]
    pairs = {tuple(sorted(pair)) for pair in protocols.comparisons(rows)}
    assert ("a", "random a") in pairs
    assert ("a", "b") in pairs
    assert ("a", "k-mer regression") in pairs
    assert ("a", "random preset") in pairs
    assert ("k-mer regression", "small CNN") not in pairs
    assert ("random a", "random b") not in pairs
    assert ("k-mer regression", "random a") not in pairs
    assert ("k-mer regression", "random preset") in pairs


def test_comparisons_of_probes():
    protocol = protocols.Protocol(kind="label_fraction", settings=(0.1,))
    rows = [row(run) for run in protocols.plan(protocol, {"a": True, "b": True}, 1)]
    pairs = {tuple(sorted(pair)) for pair in protocols.comparisons(rows)}
    assert ("a", "a, head") in pairs
    assert ("a, head", "random a, head") in pairs
    assert ("a, head", "b, head") in pairs
    assert ("a", "b, head") not in pairs
    assert ("a", "random a, head") not in pairs


def test_the_numbers_are_said():
    text = "\n".join(protocols.Protocol(kind="few_shot").describe())
    first = "10, 50, 100 shots: 20 epochs, batches of 5, learning rate 0.0001."
    assert first in text
    assert "500, 1000 shots: 5 epochs, batches of 15, learning rate 5e-05." in text
    assert "warm-up over 10%" in text
    text = "\n".join(protocols.Protocol(kind="label_fraction").describe())
    assert "0.1, 1.0 label fraction: 10 epochs, at least 200 steps" in text
    assert "learning rate of the family." in text
    assert "`head`, a linear probe: 10 epochs, at least 200" in text
