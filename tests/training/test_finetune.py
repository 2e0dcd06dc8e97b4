import dataclasses
import json
import shutil
import signal

import keras
import numpy as np
import pytest
from keras import ops

from genomenet.data import examples, sources, tasks
from genomenet.inference import predict
from genomenet.models import bert, family, selfgenomenet
from genomenet.models import classifier_config as config_lib
from genomenet.release import start
from genomenet.training import finetune, loop, settings, workdir

SELF = {
    "length": 40,
    "kernel_size": 8,
    "stride": 4,
    "filters": 16,
    "units": 16,
    "gaps": [1],
}
MOTIF = "GATTACAGATTACA"


def table(tmp_path, rows=96, task="binary"):
    rng = np.random.default_rng(0)
    lines = ["sequence\tlabel"]
    for number in range(rows):
        text = "".join(rng.choice(list("ACGT"), 60))
        if number % 2:
            text = text[:20] + MOTIF + text[34:]
        label = ("no", "yes")[number % 2]
        lines.append(f"{text}\t{number % 2 + 0.5 if task == 'regression' else label}")
    path = tmp_path / "t.tsv"
    path.write_text("\n".join(lines) + "\n")
    return examples.read_tables({"train": str(path)})


def run(data, folder, *, epochs=3, fields=None, plan=None, **arguments):
    config = config_lib.ClassifierConfig(
        **{
            "task": data.task.kind,
            "classes": data.task.classes,
            "window": 40,
            "dropout": 0.0,
            **(fields or {}),
        }
    )
    return finetune.run(
        **{
            "family": "selfgenomenet",
            "encoder": SELF,
            "classifier": config,
            "data": data,
            "settings": settings.Settings(batch_size=16, learning_rate=1e-2),
            "plan": finetune.Plan(epochs=epochs, **(plan or {})),
            "workdir": folder,
            **arguments,
        }
    )


def predictions(result, split):
    sequences = [split[number] for number in range(len(split))]
    return predict.Predictor(result.model).predict(sequences)


@pytest.mark.slow
def test_a_motif_is_learnt(tmp_path):
    data = table(tmp_path, rows=320)
    result = run(data, tmp_path / "run", epochs=10, plan={"patience": 0})
    assert result.metrics["val_loss"] < 0.8 * result.metrics["val_chance_loss"]
    found = predictions(result, data["train"]).argmax(axis=1)
    assert (found == data["train"].labels).mean() > 0.85
    rows = workdir.read_metrics(tmp_path / "run")
    best = min(row["val_loss"] for row in rows if "val_loss" in row)
    assert result.metrics["val_loss"] == best


def test_parts_of_a_batch_make_the_same_step(tmp_path, monkeypatch):
    data = table(tmp_path, rows=40)
    whole = run(data, tmp_path / "whole", epochs=2)
    monkeypatch.setattr(selfgenomenet, "BASES_AT_ONCE", 4 * 60)
    parts = run(data, tmp_path / "parts", epochs=2)
    assert parts.config == whole.config
    for a, b in zip(whole.model.weights, parts.model.weights, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(a), ops.convert_to_numpy(b), rtol=1e-3, atol=1e-4
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("train", "at"), [("all", 1), ("head", 1), ("head_first", 1), ("head_first", -1)]
)
def test_going_on_is_exact(tmp_path, monkeypatch, train, at):
    data = table(tmp_path)
    fields = {"augment": True}
    plan = {"train": train}
    original, calls = loop._Run._evaluate, []
    stop_at = None

    def interrupt(self, step):
        calls.append(step)
        if len(calls) == stop_at:
            signal.raise_signal(signal.SIGTERM)
        return original(self, step)

    monkeypatch.setattr(loop._Run, "_evaluate", interrupt)
    whole = run(data, tmp_path / "whole", fields=fields, plan=plan)
    count = len(calls)
    stop_at = at if at > 0 else count + at  # not at the last: nothing is left then
    calls.clear()
    with pytest.raises(loop.Stopped):
        run(data, tmp_path / "cut", fields=fields, plan=plan)
    cut = run(data, tmp_path / "cut", fields=fields, plan=plan)
    assert len(calls) == count
    for a, b in zip(whole.model.weights, cut.model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_probe_leaves_the_encoder_as_it_is(tmp_path):
    data = table(tmp_path)
    pretrained = selfgenomenet.build(selfgenomenet.from_dict(SELF))
    result = run(data, tmp_path / "run", plan={"train": "head"}, pretrained=pretrained)
    theirs = {w.path: w.numpy() for w in pretrained.weights}
    assert result.model.encoder.weights
    for weight in result.model.encoder.weights:
        np.testing.assert_array_equal(weight.numpy(), theirs[weight.path])
    assert np.abs(result.model.output_layer.kernel.numpy()).max() > 0


def test_pretrained_weights_are_where_training_begins(tmp_path):
    data = table(tmp_path)
    pretrained = selfgenomenet.build(selfgenomenet.from_dict(SELF))
    before = {w.path: w.numpy() for w in pretrained.weights}
    tiny = settings.Settings(batch_size=16, learning_rate=1e-9)
    result = run(data, tmp_path / "run", epochs=1, pretrained=pretrained, settings=tiny)
    for weight in result.model.encoder.weights:
        np.testing.assert_allclose(weight.numpy(), before[weight.path], atol=1e-6)
    for weight in pretrained.weights:
        np.testing.assert_array_equal(weight.numpy(), before[weight.path])


def test_a_classifier_that_predicts_the_same_gives_its_head_too(tmp_path):
    data = table(tmp_path)
    probe = run(data, tmp_path / "probe", plan={"train": "head"}).model
    given = start.Start(
        family="selfgenomenet",
        encoder=SELF,
        model=probe.encoder,
        classifier=probe,
        origin={},
    )
    assert given.for_task(probe.config) is probe
    other = dataclasses.replace(probe.config, pool="last")
    assert given.for_task(other) is probe.encoder
    tiny = settings.Settings(batch_size=16, learning_rate=1e-9)
    result = run(data, tmp_path / "run", epochs=1, pretrained=probe, settings=tiny)
    for ours, theirs in zip(result.model.weights, probe.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)


def test_the_head_is_trained_first_and_from_it_all(tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "_HEAD_STEPS", 20)
    data = table(tmp_path)
    pretrained = selfgenomenet.build(selfgenomenet.from_dict(SELF))
    tiny = settings.Settings(batch_size=16, learning_rate=1e-9)
    both = run(
        data,
        tmp_path / "both",
        epochs=1,
        plan={"train": "head_first"},
        pretrained=pretrained,
        settings=tiny,
    )
    of_head = json.loads((tmp_path / "both" / "head" / "config.json").read_text())
    assert of_head["training"]["steps"] == 20
    probe = run(
        data,
        tmp_path / "probe",
        epochs=of_head["plan"]["epochs"],
        plan={"train": "head"},
        pretrained=pretrained,
        settings=dataclasses.replace(tiny, learning_rate=finetune.HEAD_RATE),
    )
    assert np.abs(probe.model.output_layer.kernel.numpy()).max() > 0
    assert both.model.encoder.trainable
    for ours, theirs in zip(both.model.weights, probe.model.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)


@pytest.mark.parametrize("members", [selfgenomenet, bert])
def test_rates_where_none_is_given(members):
    whole = finetune.rate(members, "all")
    assert whole == members.CLASSIFIER_RATE
    assert finetune.rate(members, "head_first") == pytest.approx(whole / 10)
    assert finetune.rate(members, "head") == finetune.HEAD_RATE


def test_a_head_that_is_given_is_not_trained_first(tmp_path):
    data = table(tmp_path)
    probe = run(data, tmp_path / "probe", epochs=1, plan={"train": "head"}).model
    run(
        data, tmp_path / "run", epochs=1, plan={"train": "head_first"}, pretrained=probe
    )
    assert not (tmp_path / "run" / "head").exists()


def test_a_full_disk_is_told_before_weights_are_written(tmp_path, monkeypatch):
    model = selfgenomenet.build(selfgenomenet.from_dict(SELF))
    path = tmp_path / "x.weights.h5"
    free = shutil.disk_usage(tmp_path)._replace(free=2**20)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda where: free)
        with pytest.raises(OSError, match=r"No space left on device: .*x\.weights\.h5"):
            family.save_weights(model, path)
    assert not path.exists()
    family.save_weights(model, path)
    model.load_weights(path)


def test_weights_of_another_model_are_refused():
    source = selfgenomenet.build(selfgenomenet.from_dict(SELF))
    other = selfgenomenet.build(selfgenomenet.from_dict({**SELF, "units": 8}))
    with pytest.raises(ValueError, match=r"do not fit: .* has the shape"):
        family.transfer(source, other)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    target = bert.build(bert.from_dict({**small, "intermediate_size": 8, "kmer": 3}))
    with pytest.raises(ValueError, match=r"do not fit: .* is missing"):
        family.transfer(source, target)


@pytest.mark.slow
def test_it_ends_where_validation_gets_no_better(tmp_path):
    data = table(tmp_path)
    rng = np.random.default_rng(1)
    train = data["train"]
    shuffled = examples.Examples(
        codes=train.codes,
        offsets=train.offsets,
        labels=rng.permutation(train.labels),
        ids=train.ids,
    )
    result = run(data.with_train(shuffled), tmp_path / "run", epochs=30)
    rows = workdir.read_metrics(tmp_path / "run")
    losses = [row["val_loss"] for row in rows if "val_loss" in row]
    assert len(losses) < 30
    assert losses.index(min(losses)) == len(losses) - 4
    again = run(data.with_train(shuffled), tmp_path / "run", epochs=30)
    assert again.resumed
    for a, b in zip(result.model.weights, again.model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_without_validation_all_epochs_are_run(tmp_path):
    data = table(tmp_path)
    alone = examples.Data(name="alone", task=data.task, splits={"train": data["train"]})
    result = run(alone, tmp_path / "run", epochs=2)
    assert result.metrics["steps"] == 2 * -(-len(data["train"]) // 16)
    assert not (tmp_path / "run" / finetune.BEST).exists()


@pytest.mark.slow
def test_numbers_are_learnt_on_their_scale(tmp_path):
    data = table(tmp_path, rows=320, task="regression")
    fields = {"mean": 1.0, "scale": 0.5}
    result = run(data, tmp_path / "run", epochs=10, fields=fields, plan={"patience": 0})
    found = predictions(result, data["train"])[:, 0]
    assert np.corrcoef(found, data["train"].labels)[0, 1] > 0.7
    assert abs(found.mean() - data["train"].labels.mean()) < 0.2


def test_other_examples_are_another_run(tmp_path):
    data = table(tmp_path)
    run(data, tmp_path / "run", epochs=1)
    fewer = examples.draw_shots(data["train"], data.task, 4, seed=0)
    with pytest.raises(workdir.WorkdirError, match=r"train_rows: 76 → 8|train_rows"):
        run(data.with_train(fewer), tmp_path / "run", epochs=1)
    content = json.loads((tmp_path / "run" / "config.json").read_text())
    assert content["plan"]["epochs"] == 1
    assert content["init"] == {"from": "random"}


def test_what_cannot_be_learnt_from_is_named(tmp_path):
    data = table(tmp_path)
    none = data["train"].take(np.flatnonzero(data["train"].labels == 0))
    with pytest.raises(sources.DatasetError, match="'yes' has no training example"):
        run(data.with_train(none), tmp_path / "a")
    path = tmp_path / "short.tsv"
    path.write_text("sequence\tlabel\nACGT\tno\nACGTACGTACGT\tyes\n")
    short = examples.read_tables({"train": str(path), "test": str(path)})
    with pytest.raises(sources.DatasetError, match=r"short.tsv:2 has 4 .* at least 8"):
        run(short, tmp_path / "b")


@pytest.mark.parametrize(
    ("task", "wrong", "message"),
    [
        ("binary", {"fields": {"window": 3}}, "a window of 3 bases is out of range"),
        ("binary", {"fields": {"pool": "cls"}}, "no pool 'cls'"),
        ("regression", {"plan": {"class_weights": True}}, "needs classes"),
    ],
)
def test_a_mistake_does_not_take_the_folder(task, wrong, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(table(tmp_path, task=task), tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


@pytest.fixture(autouse=True)
def _float32():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("kind", ["regression", "multi_label"])
def test_labels_that_are_all_the_same_are_refused(kind):
    value = [1, 0] if kind == "multi_label" else 2.5
    split = examples.Examples(
        codes=np.zeros(160, np.uint8),
        offsets=np.arange(0, 161, 40),
        labels=np.array([value] * 4, np.float32),
        ids=list("abcd"),
    )
    classes = ("x", "y") if kind == "multi_label" else ()
    task = tasks.Task(kind=kind, classes=classes)
    data = examples.Data(name="x.tsv", task=task, splits={"train": split})
    with pytest.raises(sources.DatasetError, match="all 4 training examples have the"):
        finetune.check(data, 24)
