"""The command from a table to a classifier that reads strings."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import genomenet
from genomenet.dna import encode
from genomenet.models import classifier, selfgenomenet

ROOT = pathlib.Path(__file__).parents[1]
TINY = {
    "length": 40,
    "kernel_size": 8,
    "stride": 4,
    "filters": 16,
    "units": 8,
    "gaps": [1],
}


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "genomenet.finetune", *arguments],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    config = {"format": 1, "family": "selfgenomenet", "model": TINY, "training": {}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def table(path, rows=60, labels=("no", "yes"), repeat=False):
    rng = np.random.default_rng(0)
    lines = ["sequence\tlabel"]
    for number in range(rows):
        text = "".join(rng.choice(list("ACGT"), int(rng.integers(30, 120))))
        lines.append(f"{text}\t{labels[number % len(labels)]}")
    if repeat:
        lines.append(lines[1])
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.mark.slow
def test_from_a_table_to_predictions_of_strings(preset, tmp_path):
    train = table(tmp_path / "train.tsv", labels=("a", "b", "c"))
    test = table(tmp_path / "test.tsv", rows=2, labels=("a", "b", "c"))
    work = tmp_path / "work"
    done = call(
        f"--model={preset}",
        *(f"--table={train}", f"--valid_table={train}", f"--test_table={test}"),
        *(f"--workdir={work}", "--epochs=2", "--over_windows=attention"),
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING: 2 of 2 test sequences are also in training" in done.stderr
    assert "WARNING: class 'c' has no example in test" in done.stderr
    assert "accuracy" in done.stdout
    assert "auroc is undefined" in done.stdout or "'c'" in done.stdout
    results = work / "results"
    found = json.loads((results / "metrics.json").read_text())
    assert set(found["metrics"]["mcc"]) == {"value", "low", "high"}
    assert found["protocol"]["predicted_on_both_strands"] is True
    assert found["protocol"]["test_sequences_also_in_training"] == 2
    for name in ("confusion", "roc", "precision_recall", "reliability"):
        assert (results / f"{name}.png").stat().st_size > 1000
    lines = (results / "predictions.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["id", "length", "label", "predicted", "a", "b", "c"]
    assert len(lines) == 3
    assert (work / "learning_curves.png").is_file()

    release = work / "export" / "work"
    model = genomenet.load_model(release)
    assert isinstance(model, genomenet.Classifier)
    model = model.graph
    saved = tf.saved_model.load(str(release / "saved_model"))
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list("acgtn"), n)) for n in (10, 40, 333)]
    answer = saved.predict(tf.constant(texts))
    assert answer["classes"].numpy().tolist() == [b"a", b"b", b"c"]
    for row, text in enumerate(texts):
        expected = np.asarray(classifier.predict(model, encode.encode(text)[None]))[0]
        np.testing.assert_allclose(answer["probabilities"][row], expected, atol=1e-5)
        assert answer["label"][row] == b"abc"[expected.argmax() :][:1]
    golden = json.loads((release / "golden.json").read_text())
    for case in golden:
        codes = encode.encode(case["sequence"])[None]
        values = np.asarray(classifier.predict(model, codes))[0]
        np.testing.assert_allclose(values, case["predict"], atol=1e-5)

    further = tmp_path / "further"
    done = call(
        *(f"--model={release}", f"--table={train}", f"--workdir={further}"),
        *("--epochs=1", "--over_windows=mean"),
    )
    assert done.returncode == 0, done.stderr
    assert "and a new head\ntrains the head first, then all weights" in done.stderr
    assert (further / "head" / "metrics.jsonl").is_file()
    plan = json.loads((further / "config.json").read_text())["plan"]
    assert plan["train"] == "head_first"


@pytest.mark.slow
def test_mistakes_are_one_line_each(preset, tmp_path):
    good = table(tmp_path / "t.tsv")
    one = tmp_path / "one.tsv"
    one.write_text("sequence\tlabel\nACGTACGTACGT\tyes\nACGTACGTACGG\tyes\n")
    for arguments, message in (
        ([f"--table={good}", "--init=pretrained"], "tiny has no trained weights"),
        ([f"--table={one}"], "one.tsv: one class only, yes"),
        ([f"--table={good}", "--shots=100"], "fewer than shots=100"),
        ([f"--table={good}", "--learning_rate=0"], "learning_rate must be > 0, got 0"),
    ):
        done = call(f"--model={preset}", f"--workdir={tmp_path}/w", *arguments)
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("finetune: "), done.stderr
        assert message in last
        assert "Traceback" not in done.stderr


def test_a_start_from_what_has_no_weights(preset):
    from genomenet.release import start as start_lib

    start = start_lib.read_start(preset)
    assert start.model is None
    assert start.origin == {"from": "random", "model": "tiny"}
    assert selfgenomenet.from_dict(start.encoder) == selfgenomenet.from_dict(TINY)
    with pytest.raises(ValueError, match="tiny has no trained weights for init"):
        start_lib.read_start(preset, "pretrained")
