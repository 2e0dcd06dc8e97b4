import dataclasses
import json
import os
import pathlib
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from genomenet.data import packed_chunks, prepared
from genomenet.models import selfgenomenet
from genomenet.training import engines, gradients, loop, pretrain, settings, workdir
from genomenet.training.engines import checkpoint
from tests import harness

MODEL = harness.SELFGENOMENET


def train(data, folder, model=None, distribute="none", start=None, **changes):
    values = {
        "steps": 12,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "clip_norm": 0.5,
        "checkpoint_every": 5,
        "eval_every": 6,
        **changes,
    }
    return pretrain.run(
        family="selfgenomenet",
        model={**MODEL, **(model or {})},
        settings=settings.Settings(**values),
        dataset=data,
        workdir=folder,
        pretrained=start,
        origin={"from": "elsewhere"} if start else None,
        devices=engines.devices(distribute),
    )


def weights(result):
    return [np.asarray(w) for w in result.model.weights]


@pytest.fixture(scope="module")
def reference(tiny_genome, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    return folder, weights(train(tiny_genome, folder))


def test_a_run_leaves_what_it_promises(reference):
    folder, _ = reference
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.json",
        "flags.txt",
        "versions.json",
        "metrics.jsonl",
        "checkpoints",
        "tensorboard",
        "learning_curves.png",
    }
    rows = workdir.read_metrics(folder)
    assert [row["step"] for row in rows] == [6, 10, 12]
    assert {"val_loss", "val_accuracy", "val_chance"} <= rows[-1].keys()
    assert rows[-1]["chance"] == pytest.approx(1 / 15)


def test_weights_of_the_last_checkpoint(reference):
    folder, expected = reference
    content = json.loads((folder / "config.json").read_text())
    model = selfgenomenet.build(selfgenomenet.from_dict(content["model"]))
    assert checkpoint.load_weights(model, folder) == 12
    for a, b in zip(model.weights, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_begins_with_given_weights(tiny_genome, tmp_path):
    start = selfgenomenet.build(selfgenomenet.from_dict(MODEL))
    quick = {"steps": 1, "learning_rate": 1e-12, "eval_every": 1}
    found = train(tiny_genome, tmp_path, {"length": 64}, start=start, **quick)
    assert found.config.model["length"] == 64
    for a, b in zip(weights(found), start.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    with pytest.raises(workdir.WorkdirError, match="init.from: elsewhere → None"):
        train(tiny_genome, tmp_path, {"length": 64}, **quick)
    other = selfgenomenet.build(selfgenomenet.from_dict({**MODEL, "units": 4}))
    with pytest.raises(ValueError, match="pretrained weights do not fit"):
        train(tiny_genome, tmp_path / "other", start=other, **quick)


def test_a_full_disk_is_told_with_the_folder_of_checkpoints(tmp_path, monkeypatch):
    model = selfgenomenet.build(selfgenomenet.from_dict(MODEL))
    optimizer = keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    saved = checkpoint.Checkpoints(
        tmp_path / "c", model=model, optimizer=optimizer, keep=1
    )
    saved.save(1, {})

    def full(*args, **others):
        raise tf.errors.ResourceExhaustedError(None, None, "c/ckpt-2; No space left")

    with monkeypatch.context() as patch:
        patch.setattr(tf.train.Checkpoint, "write", full)
        with pytest.raises(OSError, match=r"No space left on device: .*c'"):
            saved.save(2, {})
    assert saved.latest_step == 1


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 16
    path.write_bytes(data)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.slow
@pytest.mark.parametrize("harm", [cut, flip, empty, pathlib.Path.unlink])
@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    reference, tiny_genome, tmp_path, capsys, harm, part
):
    _, expected = reference
    train(tiny_genome, tmp_path, steps=11)
    assert workdir.read_metrics(tmp_path)[-1]["step"] == 11
    harm(tmp_path / "checkpoints" / f"ckpt-11.{part}")
    result = train(tiny_genome, tmp_path)
    errors = capsys.readouterr().err
    assert "ckpt-11 is damaged (" in errors
    assert "reading ckpt-10" in errors
    assert "from step 10 of 12" in errors
    for a, b in zip(weights(result), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [r["step"] for r in workdir.read_metrics(tmp_path)] == [6, 10, 12]
    train(tiny_genome, tmp_path)  # the damaged one has been replaced or removed
    assert "damaged" not in capsys.readouterr().err


@pytest.mark.slow
def test_without_a_whole_checkpoint_a_run_does_not_begin_anew(tiny_genome, tmp_path):
    train(tiny_genome, tmp_path, steps=5)
    before = workdir.read_metrics(tmp_path)
    flip(tmp_path / "checkpoints" / "ckpt-5.index")
    with pytest.raises(ValueError, match=r"ckpt-5 is damaged.*no checkpoint before"):
        train(tiny_genome, tmp_path)
    (tmp_path / "checkpoints" / "ckpt-5.index").unlink()
    with pytest.raises(ValueError, match=r"ckpt-5.index is missing"):
        train(tiny_genome, tmp_path)
    assert workdir.read_metrics(tmp_path) == before


@pytest.mark.slow
def test_a_moved_run_of_a_moved_dataset_goes_on(
    reference, tiny_genome, tmp_path, monkeypatch
):
    _, expected = reference
    shutil.copytree(tiny_genome, tmp_path / "here" / "1.0.0")
    train(tmp_path / "here" / "1.0.0", tmp_path / "run", steps=7)
    shutil.move(tmp_path / "here", tmp_path / "there")
    shutil.move(tmp_path / "run", tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    result = train("there/1.0.0", pathlib.Path("moved"))
    for a, b in zip(weights(result), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_does_not_go_on_with_another_genome(tiny_genome, tmp_path):
    genome = prepared.read(tiny_genome)
    quick = {"steps": 1, "eval_every": 1}
    train(genome, tmp_path / "run", **quick)
    chunks = [
        (split, "c", 1000 * n, np.random.default_rng(n).integers(0, 4, 400, np.uint8))
        for n, split in enumerate(["train"] * 20 + ["validation"] * 5)
    ]
    other = packed_chunks.of(chunks, tmp_path / "other.npz")
    with pytest.raises(workdir.WorkdirError, match=r"dataset.digest: \w+ → \w+"):
        train(dataclasses.replace(genome, chunks=other), tmp_path / "run", **quick)


def test_a_run_of_an_earlier_version_is_refused(tiny_genome, tmp_path):
    quick = {"steps": 1, "eval_every": 1}
    train(tiny_genome, tmp_path, **quick)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    content["training"]["shuffle_buffer"] = 20_000
    path.write_text(json.dumps(content))
    with pytest.raises(workdir.WorkdirError, match="earlier version.*init=pretrained"):
        train(tiny_genome, tmp_path, **quick)
    for text in ("", "{", "[]", "{}", '{"model": 1, "training": 2, "dataset": 3}'):
        path.write_text(text)
        with pytest.raises(workdir.WorkdirError, match="config.json is damaged"):
            train(tiny_genome, tmp_path, **quick)


def test_weights_without_a_checkpoint(tmp_path):
    model = selfgenomenet.build(selfgenomenet.Config())
    with pytest.raises(ValueError, match="holds no checkpoint"):
        checkpoint.load_weights(model, tmp_path)


@pytest.mark.slow
def test_a_longer_run_and_a_signal_end_with_the_same_weights(
    reference, tiny_genome, tmp_path, monkeypatch
):
    folder, expected = reference
    train(tiny_genome, tmp_path, steps=4)
    original = loop._Run._evaluate

    def interrupt(self, step):
        os.kill(os.getpid(), signal.SIGTERM)
        return original(self, step)

    monkeypatch.setattr(loop._Run, "_evaluate", interrupt)
    with pytest.raises(loop.Stopped) as caught:
        train(tiny_genome, tmp_path)
    assert caught.value.step == 7
    assert caught.value.signal_number == signal.SIGTERM
    monkeypatch.undo()
    result = train(tiny_genome, tmp_path)
    for a, b in zip(weights(result), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    again, first = workdir.read_metrics(tmp_path), workdir.read_metrics(folder)
    assert again[-1]["loss"] == first[-1]["loss"]
    assert train(tiny_genome, tmp_path).resumed


@pytest.mark.slow
def test_two_devices_train_the_same_model(reference, tiny_genome, tmp_path):
    _, expected = reference
    result = train(tiny_genome, tmp_path, distribute="mirrored")
    for a, b in zip(weights(result), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_accumulation_is_the_same_on_two_devices(tiny_genome, tmp_path):
    runs = [
        train(tiny_genome, tmp_path / name, distribute=name, accumulate=3, steps=4)
        for name in ("none", "mirrored")
    ]
    for a, b in zip(*map(weights, runs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_local_negatives_are_another_loss(tiny_genome, tmp_path):
    model = {"negatives": "local"}
    train(tiny_genome, tmp_path, model=model, distribute="mirrored")
    assert workdir.read_metrics(tmp_path)[-1]["chance"] == pytest.approx(1 / 7)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(tiny_genome, tmp_path, precision):
    import keras

    try:
        result = train(tiny_genome, tmp_path, precision=precision, steps=3)
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(result.metrics["loss"])
    assert all(w.dtype == np.float32 for w in weights(result))


@pytest.mark.slow
def test_xla_trains_the_same_model(reference, tiny_genome, tmp_path):
    result = train(tiny_genome, tmp_path, jit_compile=True, steps=3)
    plain = train(tiny_genome, tmp_path / "plain", steps=3)
    for a, b in zip(weights(result), weights(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.slow
def test_an_infinite_loss_names_step_rate_and_checkpoint(tiny_genome, tmp_path):
    train(tiny_genome, tmp_path, steps=5)
    original = gradients.sums

    def broken(output):
        sums = original(output)
        return {**sums, "loss": sums["loss"] * float("nan")}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradients, "sums", broken)
        with pytest.raises(
            loop.TrainingError, match=r"nan at step 6, .*rate of 0.01; .* is step 5, in"
        ):
            train(tiny_genome, tmp_path)
    assert np.isfinite(weights(train(tiny_genome, tmp_path, steps=5))[0]).all()


def test_runs_that_cannot_be(tiny_genome, tmp_path):
    with pytest.raises(ValueError, match="batch_size=9 .* 2 replicas"):
        train(tiny_genome, tmp_path / "a", distribute="mirrored", batch_size=9)
    with pytest.raises(ValueError, match="longer than the chunks"):
        train(tiny_genome, tmp_path / "b", model={"length": 500})
    with pytest.raises(ValueError, match="holds no prepared dataset"):
        train(tmp_path, tmp_path / "c")
    with pytest.raises(ValueError, match="selfgenomenet"):
        pretrain.run(
            family="x",
            model={},
            settings=settings.Settings(),
            dataset=tiny_genome,
            workdir=tmp_path / "d",
        )


def test_a_batch_in_which_nothing_can_be_compared_is_refused(tiny_genome, tmp_path):
    with pytest.raises(ValueError, match=r"batch_size=1 is too small.* needs 2"):
        train(tiny_genome, tmp_path / "a", batch_size=1)
    local = {"negatives": "local"}
    with pytest.raises(ValueError, match=r"=2 is too small.* needs 4 on 2 devices"):
        train(tiny_genome, tmp_path / "b", local, distribute="mirrored", batch_size=2)
    assert not (tmp_path / "a" / "config.json").exists()


def test_a_validation_split_of_one_window_is_not_validated_on(tmp_path, capsys):
    chunks = [
        (split, "c", 1000 * n, np.random.default_rng(n).integers(0, 4, 64, np.uint8))
        for n, split in enumerate(["train"] * 20 + ["validation"])
    ]
    path = tmp_path / "genome.npz"
    packed_chunks.of(chunks, path)
    quick = {"steps": 1, "eval_every": 1}
    result = train(path, tmp_path / "run", **quick)
    assert "val_loss" not in result.metrics
    assert "too few to validate on" in capsys.readouterr().err
