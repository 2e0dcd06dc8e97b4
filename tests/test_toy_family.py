"""A third family passes through every command without changes outside of it."""

import json
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import genomenet
from genomenet import models
from genomenet.api import motifs
from genomenet.dna import encode
from genomenet.inference import predict
from genomenet.interpret import attribution
from genomenet.models import classifier
from genomenet.models import family as family_lib
from genomenet.release import folder
from tests import harness, toy_family

MOTIF = "TTGACCATTG"
FIELDS = {"filters": 32, "layers": 3}
FAMILY: family_lib.Family = toy_family  # pyright checks that it is complete


@pytest.fixture(scope="module", autouse=True)
def _known():
    models.FAMILIES["toy"] = toy_family
    yield
    del models.FAMILIES["toy"]


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "toy_small"
    path.mkdir()
    content = {"format": 1, "family": "toy", "model": FIELDS, "training": {}}
    (path / "config.json").write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    lines = ["sequence\tlabel\tsplit"]
    for number in range(150):
        text = "".join(rng.choice(list("ACGT"), 60))
        if number % 2:
            text = text[:20] + MOTIF + text[30:]
        split = ("train", "train", "validation", "train", "test")[number % 5]
        lines.append(f"{text}\t{('no', 'yes')[number % 2]}\t{split}")
    path = tmp_path_factory.mktemp("table") / "sites.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def command(binary):
    """Runs a command of the shell in this process."""
    from absl import flags

    def run(name, *arguments):
        module = binary(name)
        flags.FLAGS.unparse_flags()
        flags.FLAGS([name, *map(str, arguments)])
        module.main()

    return run


def batch_of(rows=4, length=40):
    rng = np.random.default_rng(0)
    bases = rng.integers(0, 4, (rows, length)).astype("uint8")
    return {"bases": bases, "key": rng.integers(0, 2**32, (rows, 2), dtype=np.uint32)}


def test_model_and_objective(tmp_path):
    model = toy_family.build(toy_family.Config())
    harness.set_weights(model.weights)
    harness.check_saving(model, {"bases": batch_of()["bases"]}, tmp_path)
    harness.check_objective(toy_family, model, batch_of())
    harness.check_padding(toy_family, model)


def test_an_objective_may_have_a_metric_with_its_own_weights(monkeypatch):
    original = toy_family.loss

    def loss(*args, **kwargs):
        result = original(*args, **kwargs)
        accuracy = result.metrics["accuracy"], keras.ops.sum(result.weight)
        return result._replace(metrics={"accuracy": accuracy})

    monkeypatch.setattr(toy_family, "loss", loss)
    model = toy_family.build(toy_family.Config())
    harness.check_objective(toy_family, model, batch_of())


def test_padding_that_changes_a_vector_is_noticed(monkeypatch):
    def read_out(model, batch, names, *, training=False):
        states = model({"bases": batch["bases"]})["states"]
        return [
            states if x == "none" else keras.ops.mean(states, axis=1) for x in names
        ]

    monkeypatch.setattr(toy_family, "read_out", read_out)
    model = toy_family.build(toy_family.Config())
    with pytest.raises(AssertionError, match="mean"):
        harness.check_padding(toy_family, model)


def test_an_incomplete_family_is_rejected_with_all_missing_names(monkeypatch):
    monkeypatch.delattr(toy_family, "derived_metrics")
    monkeypatch.delattr(toy_family, "POOLS")
    with pytest.raises(
        ValueError, match=r"family 'toy' lacks POOLS, derived_metrics; see"
    ):
        models.get_family("toy")


def test_a_model_without_weights_is_rejected_before_training(monkeypatch):
    class Unbuilt(keras.Model):
        def call(self, inputs):
            return inputs

    monkeypatch.setattr(toy_family, "build", lambda config: Unbuilt())
    with pytest.raises(ValueError, match=r"Unbuilt .*toy_family.build has no weights"):
        family_lib.build_from(toy_family, toy_family.Config())


def test_a_wrong_number_of_parameters_is_rejected_before_training(monkeypatch):
    monkeypatch.setattr(toy_family, "num_parameters", lambda config: 7)
    with pytest.raises(ValueError, match=r"of 652 param.*num_parameters returns 7"):
        family_lib.build_from(toy_family, toy_family.Config())


def test_the_config_checks_the_length():
    with pytest.raises(ValueError, match=r"length must be 5 to 1000 bases, got 4"):
        toy_family.Config(length=4)


def test_the_parts_agree():
    config = toy_family.Config()
    for head in (True, False):
        model = toy_family.build(config, head=head)
        count = sum(int(np.prod(w.shape)) for w in model.weights)
        assert count == toy_family.num_parameters(config, head=head)


def test_pretraining_export_and_embedding(preset, tiny_genome, tmp_path, command):
    workdir = tmp_path / "run"
    command(
        "train",
        f"--model={preset}",
        f"--dataset={tiny_genome}",
        f"--workdir={workdir}",
        "--steps=30",
        "--batch_size=8",
        "--learning_rate=1e-2",
    )
    release = workdir / "export" / "run"
    model = folder.load_model(release)
    assert isinstance(model, toy_family.ToyNet)
    saved = tf.saved_model.load(str(release / "saved_model"))
    text = "ACGTTGCAACGTACGTTACG"
    ours = toy_family.embed(model, {"bases": encode.encode(text)[None]}, "mean")
    found = saved.embed([text])["embedding"]
    np.testing.assert_allclose(found, ours, atol=1e-6)
    encoder = genomenet.load_model(release)
    assert isinstance(encoder, toy_family.ToyNet)
    np.testing.assert_allclose(encoder.embed([text]), ours, atol=1e-5)
    assert encoder.embed([text], pool="none")[0].shape == (20, FIELDS["filters"])
    assert not hasattr(encoder, "predict_masked")
    assert type(genomenet.load_model(release)) is type(encoder)
    encoder.save(tmp_path / "encoder.keras")
    loaded: Any = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_allclose(loaded.embed([text]), ours, atol=1e-5)


@pytest.mark.slow
def test_fine_tuning_prediction_and_attribution(preset, table, tmp_path, command):
    workdir = tmp_path / "run"
    command(
        "finetune",
        f"--model={preset}",
        f"--table={table}",
        f"--workdir={workdir}",
        "--epochs=40",
        "--learning_rate=1e-2",
        "--patience=0",
    )
    model = folder.load_model(workdir / "export" / "run")
    assert isinstance(model, classifier.Classifier)
    results = json.loads((workdir / "results" / "metrics.json").read_text())
    assert results["metrics"]["auroc"]["value"] > 0.9
    rng = np.random.default_rng(1)
    plain = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(20)]
    sites = [text[:25] + MOTIF + text[35:] for text in plain]
    codes = [(f"s{i}", encode.encode(text)) for i, text in enumerate(sites)]
    found = attribution.explain(model, codes, target="yes")
    inside = found.scores[:, 25:35].sum(1).mean()
    assert inside > 3 * abs(found.scores[:, :25].sum(1).mean())
    with pytest.raises(ValueError, match="toy has no attention"):
        attribution.explain(model, codes, method="attention")
    output = predict.Predictor(model, batch_size=8).predict(
        [encode.encode(text) for text in plain + sites]
    )
    called = np.asarray(output)[:, 1]
    assert called[20:].mean() > called[:20].mean() + 0.5
    options = motifs.Options(model=str(workdir / "export" / "run"), target="yes")
    motifs.find(codes, tmp_path / "motifs", options)
    assert (tmp_path / "motifs" / "attribution.npz").is_file()
