"""A third family goes through every job, and nothing outside it knows it."""

import json

import numpy as np
import pytest
import tensorflow as tf

from genomenet import models
from genomenet.api import motifs
from genomenet.dna import encode
from genomenet.inference import predict
from genomenet.interpret import attribution
from genomenet.models import classifier
from genomenet.models import family as family_lib
from genomenet.release import folder
from tests import toy_family

MOTIF = "TTGACCATTG"
FIELDS = {"filters": 32, "layers": 3}
FAMILY: family_lib.Family = toy_family  # pyright compares it with the protocol


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
