"""Runs on JAX; with KERAS_BACKEND=jax, and without TensorFlow."""

import json
import os
import random
import signal

import keras
import numpy as np
import pytest

from genomenet.data import prepared
from genomenet.dna import encode
from genomenet.training import engines, loop, npz_file, pretrain, settings, workdir

if keras.backend.backend() != "jax":
    pytest.skip("needs KERAS_BACKEND=jax", allow_module_level=True)

from genomenet.training.engines import jax as jax_engine
from tests import harness

SELF = harness.SELFGENOMENET
BERT = {
    **harness.BERT,
    "num_hidden_layers": 1,
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.2,
    "masking": "token",  # what XLA compiles soonest
}


@pytest.fixture(scope="module", autouse=True)
def _compiled_once(tmp_path_factory):
    """Keeps what XLA compiles: nearly all the time that a small run takes."""
    import jax

    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update(names[0], str(tmp_path_factory.mktemp("compiled")))
    jax.config.update(names[1], 0.0)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    rng = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("genome") / "tiny.fa"
    with path.open("wb") as file:
        for number in range(6):
            codes = rng.integers(0, 4, 3000).astype(np.uint8)
            file.write(f">contig_{number}\n".encode() + encode.decode(codes) + b"\n")
    packed = path.with_name("genome.npz")
    return prepared.pack([str(path)], packed, name="tiny", chunk_length=400)


def train(
    genome, path, family="bert", model=None, start=None, distribute="none", **changes
):
    values = {
        "steps": 8,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "weight_decay": 0.01,
        "clip_norm": 1.0,
        "checkpoint_every": 3,
        "eval_every": 4,
        "keep": 2,
        **changes,
    }
    fields = {"bert": BERT, "selfgenomenet": SELF}[family]
    return pretrain.run(
        family=family,
        model={**fields, **(model or {})},
        settings=settings.Settings(**values),
        dataset=genome,
        workdir=path,
        pretrained=start,
        devices=engines.devices(distribute),
        origin={"from": "pretrained", "sha256": "0"} if start else None,
    )


def weights(path):
    newest = max(path.glob("checkpoints/step-*.npz"), key=npz_file.step_of)
    trained = "trainable/"
    return {
        name.removeprefix(trained): array
        for name, array in npz_file.load(newest).items()
        if name.startswith(trained)
    }


def assert_same(a, b, **tolerance):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(
            a[name], b[name], **{"rtol": 0, "atol": 0, **tolerance}, err_msg=name
        )


@pytest.fixture(scope="module")
def reference(genome, tmp_path_factory):
    path = tmp_path_factory.mktemp("reference")
    return path, train(genome, path)


def test_what_a_run_leaves(reference):
    path, result = reference
    assert {p.name for p in path.iterdir()} >= {
        "config.json",
        "flags.txt",
        "versions.json",
        "metrics.jsonl",
        "checkpoints",
    }
    names = sorted(p.name for p in (path / "checkpoints").iterdir())
    assert names == ["step-6.npz", "step-8.npz"]
    rows = workdir.read_metrics(path)
    assert [row["step"] for row in rows] == [4, 8]
    assert {"loss", "accuracy", "perplexity", "bases_per_second"} <= rows[-1].keys()
    assert rows[-1]["val_chance_loss"] == pytest.approx(np.log(64), abs=0.2)
    assert {w.path for w in result.model.weights} == weights(path).keys()
    for weight in result.model.weights:
        np.testing.assert_array_equal(weights(path)[weight.path], weight.numpy())


def test_a_longer_run_and_a_signal_end_with_the_same_weights(
    reference, genome, tmp_path, monkeypatch
):
    path, _ = reference
    train(genome, tmp_path, steps=2)
    original = loop._Run._evaluate

    def interrupt(self, step):
        os.kill(os.getpid(), signal.SIGTERM)
        return original(self, step)

    monkeypatch.setattr(loop._Run, "_evaluate", interrupt)
    with pytest.raises(loop.Stopped) as caught:
        train(genome, tmp_path)
    assert (caught.value.step, caught.value.signal_number) == (5, signal.SIGTERM)
    monkeypatch.undo()
    result = train(genome, tmp_path)
    assert not result.resumed
    assert_same(weights(path), weights(tmp_path))
    assert train(genome, tmp_path).resumed
    assert_same(weights(path), weights(tmp_path))


def test_half_precision_learns_and_keeps_its_weights_in_float32(genome, tmp_path):
    before = keras.config.dtype_policy().name, random.getstate()
    result = train(
        genome,
        tmp_path,
        "selfgenomenet",
        {"objective": "forward", "gaps": [0]},
        steps=200,
        learning_rate=1e-2,
        checkpoint_every=200,
        eval_every=200,
        precision="mixed_bfloat16",
    )
    assert (keras.config.dtype_policy().name, random.getstate()) == before
    assert result.model.compute_dtype == "bfloat16"
    assert {a.dtype.name for a in weights(tmp_path).values()} == {"float32"}
    rows = workdir.read_metrics(tmp_path)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert result.metrics["val_chance"] == pytest.approx(1 / 8)


def test_an_infinite_loss_names_the_checkpoint(genome, tmp_path, monkeypatch):
    original = jax_engine.Steps.train

    def broken(self, batches, stop):
        return {**original(self, batches, stop), "loss": float("nan")}

    train(genome, tmp_path, steps=3)
    monkeypatch.setattr(jax_engine.Steps, "train", broken)
    with pytest.raises(loop.TrainingError, match=r"nan at step 4.* is step 3, in"):
        train(genome, tmp_path)


def test_a_trained_model_is_trained_further(reference, genome, tmp_path):
    model = reference[1].model
    given = {w.path: w.numpy().copy() for w in model.weights}
    still = {"steps": 1, "learning_rate": 1e-9, "weight_decay": 0.0}
    row = {"length": 40}  # of another length than before
    train(genome, tmp_path, model=row, start=model, **still)
    assert_same(weights(tmp_path), given, atol=1e-6)
    assert_same({w.path: w.numpy() for w in model.weights}, given)
    assert json.loads((tmp_path / "config.json").read_text())["init"]["sha256"] == "0"
    with pytest.raises(ValueError, match="init"):
        train(genome, tmp_path, model=row, **still)


def test_runs_that_cannot_be(reference, genome, tmp_path):
    with pytest.raises(ValueError, match="500 bases is longer than the chunks"):
        train(genome, tmp_path / "a", "selfgenomenet", {"length": 500})
    with pytest.raises(ValueError, match="fewer than batch_size=5000"):
        train(genome, tmp_path / "b", batch_size=5000)
    with pytest.raises(ValueError, match="training.seed: 0 → 1"):
        train(genome, reference[0], seed=1)
    with pytest.raises(ValueError, match="mixed_float16"):
        train(genome, tmp_path / "c", precision="mixed_float16")
    train(genome, tmp_path, steps=1)
    (tmp_path / "checkpoints" / "step-1.npz").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"step-1.npz is damaged.* no checkpoint bef"):
        train(genome, tmp_path)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    reference, genome, tmp_path, capsys
):
    path, _ = reference
    train(genome, tmp_path, steps=7)
    (tmp_path / "checkpoints" / "step-7.npz").write_bytes(b"torn")
    train(genome, tmp_path)
    assert "step-7.npz is damaged" in capsys.readouterr().err
    assert_same(weights(path), weights(tmp_path))


STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@pytest.mark.parametrize(
    ("family", "model"),
    [
        ("bert", STILL),
        ("selfgenomenet", {}),
        ("selfgenomenet", {"negatives": "local"}),
    ],
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_devices_end_with_the_weights_of_one(
    genome, tmp_path, family, model, accumulate
):
    values = {"steps": 4, "eval_every": 4, "accumulate": accumulate}
    results = {
        name: train(genome, tmp_path / name, family, model, distribute=name, **values)
        for name in ("none", "mirrored")
    }
    one, two = results.values()
    is_local = model.get("negatives") == "local"
    for name, value in one.metrics.items():
        if "loss" in name or "accuracy" in name:
            is_same = two.metrics[name] == pytest.approx(value, rel=1e-5)
            assert is_same or is_local, (name, value, two.metrics[name])
    same = [
        np.abs(weights(tmp_path / "none")[name] - array).max() < 1e-5
        for name, array in weights(tmp_path / "mirrored").items()
    ]
    assert all(same) is not is_local  # each device has negatives of its own


def test_a_batch_that_two_devices_cannot_share(genome, tmp_path):
    with pytest.raises(ValueError, match="batch_size=7 .* 2 replicas"):
        train(genome, tmp_path, distribute="mirrored", batch_size=7)
