"""From few labels to one classifier, with a tiny encoder."""

import re

import numpy as np
import pytest

from genomenet.data import examples, tasks
from genomenet.inference import predict
from genomenet.models import classifier_config as config_lib
from genomenet.models import selfgenomenet
from genomenet.training import few_labels, finetune, settings

SELF = {
    "length": 40,
    "kernel_size": 8,
    "stride": 4,
    "filters": 8,
    "units": 8,
    "gaps": [1],
}


def problem(rows=40, length=40):
    """Returns sequences that differ at one place of one strand."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (rows, length)).astype("uint8")
    truth = np.arange(rows, dtype="int32") % 2
    codes[:, 10:14] = np.array([[0, 0, 1, 1], [1, 1, 0, 0]])[truth]
    split = examples.Examples(
        codes=codes.reshape(-1),
        offsets=np.arange(rows + 1) * length,
        labels=truth,
        ids=list(map(str, range(rows))),
    )
    task = tasks.Task(kind="binary", classes=("no", "yes"))
    return examples.Data(name="x", task=task, splits={"train": split})


def run(data, folder, **arguments):
    config = config_lib.ClassifierConfig(
        task="binary", classes=("no", "yes"), window=40, length=40, dropout=0.0
    )
    return few_labels.run(
        **{
            "family": "selfgenomenet",
            "encoder": SELF,
            "classifier": config,
            "data": data,
            "settings": settings.Settings(batch_size=16, learning_rate=1e-9),
            "plan": finetune.Plan(epochs=1),
            "workdir": folder,
            "pretrained": selfgenomenet.build(selfgenomenet.from_dict(SELF)),
            **arguments,
        }
    )


def test_a_strand_and_positions_are_found(tmp_path):
    data = problem()
    found = run(data, tmp_path / "run", tune=False)
    assert found.choice.strands == "forward"
    assert "onehot" in found.choice.readout
    assert "so only one is read" in found.describe()
    line = r"chosen: .*onehot.*\), one strand; 18 heads were .*; best AUROC .*"
    assert re.match(line, found.describe())
    model = found.run.model
    assert model.config.readout == found.choice.readout
    assert not model.config.both_strands
    assert found.run.config.parts["classifier"]["strands"] == "forward"
    train = data["train"]
    right = predict.Predictor(model).predict([train[n] for n in range(len(train))])
    assert (right.argmax(axis=1) == train.labels).mean() > 0.9
    content = found.to_json()
    assert content["readout"] == list(found.choice.readout)
    assert len(content["tried"]) == 2 * 9
    # Where what is read is given, it is not chosen; nor are strands.
    fixed = run(
        data, tmp_path / "fixed", tune=False, readout=("kmers3", "mean"), strands="both"
    )
    assert fixed.choice.readout == ("kmers3", "mean")
    assert fixed.choice.strands == "both"
    assert len(fixed.choice.tried) == 1
    # The graph, read strand by strand, is the head over features of both.
    reader = few_labels.Reader(
        "selfgenomenet",
        SELF,
        fixed.run.model.config,
        [fixed.choice.readout],
        fixed.run.model.encoder,
    )
    of = reader.read(train, "both")
    x = np.concatenate([of[name] for name in fixed.choice.readout], axis=1)
    model = fixed.run.model
    logits = (x - model.standardize.mean) * model.standardize.factor
    logits = logits @ np.asarray(model.output_layer.kernel) + model.output_layer.bias
    np.testing.assert_allclose(
        few_labels.predict_logits(model, train), logits, atol=1e-5
    )


@pytest.mark.parametrize("has_validation", [False, True])
def test_training_all_weights_is_dropped_where_it_does_not_help(
    tmp_path, has_validation
):
    data = problem()
    if has_validation:
        splits = {"train": data["train"], "validation": problem(rows=10)["train"]}
        data = examples.Data(name="x", task=data.task, splits=splits)
    names = {"readout": ("kmers3",), "strands": "forward"}
    found = run(data, tmp_path / "run", **names)
    assert not found.is_tuned
    assert found.losses["head"] == pytest.approx(found.losses["all"], abs=1e-4)
    assert "linear head, which is kept" in found.describe()
    assert (tmp_path / "run" / "trial" / "0" / "metrics.jsonl").is_file()
    assert (tmp_path / "run" / "config.json").is_file()


@pytest.mark.slow
def test_training_all_weights_is_kept_where_it_helps(tmp_path, monkeypatch):
    monkeypatch.setattr(few_labels, "_is_better", lambda gain, errors=1: True)
    fast = settings.Settings(batch_size=16, learning_rate=1e-2)
    names = {"readout": ("mean",), "strands": "both"}
    plan = finetune.Plan(epochs=2)
    found = run(problem(), tmp_path / "run", settings=fast, plan=plan, **names)
    assert found.is_tuned
    assert found.run.model.config.strands == "both"
    assert "full training was tried and is kept" in found.describe()
    again = run(problem(), tmp_path / "run", settings=fast, plan=plan, **names)
    assert again.run.resumed
    for a, b in zip(found.run.model.weights, again.run.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_without_a_clear_gain_of_all_weights_the_linear_head_is_kept(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(few_labels, "_is_better", lambda gain, errors=1: False)
    found = run(problem(), tmp_path / "run")
    assert not found.is_tuned
    assert found.run.model.config.readout == found.choice.readout
    monkeypatch.setattr(few_labels, "_is_better", lambda gain, errors=1: True)
    other = run(problem(), tmp_path / "other")
    assert other.is_tuned
    assert not other.run.model.config.readout  # the family's pool, as without a choice
    # Three folds where none is clear, one where the first is.
    assert len(list((tmp_path / "run" / "trial").iterdir())) == 3
    assert len(list((tmp_path / "other" / "trial").iterdir())) == 1
