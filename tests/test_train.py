"""The binary as a user runs it, in processes of its own."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from genomenet.training import workdir
from tests import harness

ROOT = pathlib.Path(__file__).parents[1]
FLAGS = ["--steps=40", "--batch_size=8", "--learning_rate=1e-2", "--checkpoint_every=5"]


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny_preset"
    folder.mkdir()
    config = {
        "format": 1,
        "family": "selfgenomenet",
        "model": harness.SELFGENOMENET,
        "training": {"eval_every": 20},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def command(preset, data, folder, *more):
    return [
        *(sys.executable, "-m", "genomenet.train", f"--model={preset}"),
        *(f"--dataset={data}", f"--workdir={folder}", *FLAGS, *more),
    ]


def start(arguments, **environment):
    return subprocess.Popen(
        arguments,
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, code=0):
    output, _ = process.communicate(timeout=600)
    assert process.returncode == code, output
    return output


def final_weights(folder):
    import h5py

    weights = {}
    path = folder / "export" / folder.name / "model.weights.h5"

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            weights[name] = np.asarray(item)

    with h5py.File(path) as f:
        f.visititems(collect)
    assert weights
    return weights


def assert_same(first, second, **tolerance):
    a, b = final_weights(first), final_weights(second)
    assert a.keys() == b.keys()
    for name, weight in a.items():
        if tolerance:
            np.testing.assert_allclose(weight, b[name], **tolerance)
        else:
            np.testing.assert_array_equal(weight, b[name])


@pytest.fixture(scope="module")
def reference(preset, tiny_genome, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    output = finish(start(command(preset, tiny_genome, folder)))
    assert "genomenet.load_model" in output
    return folder


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_weights(
    reference, preset, tiny_genome, tmp_path
):
    arguments = command(preset, tiny_genome, tmp_path)
    kills = 0
    for checkpoints in (1, 3, 6):
        process = start(arguments)
        while process.poll() is None:
            saved = tmp_path.glob("checkpoints/ckpt-*.sha256")
            step = max((int(path.stem.rpartition("-")[2]) for path in saved), default=0)
            if step >= 5 * checkpoints:
                break
            time.sleep(0.002)
        kills += process.poll() is None
        process.kill()
        process.communicate()
    assert kills >= 2
    finish(start(arguments))
    assert_same(reference, tmp_path)
    metrics = map(workdir.read_metrics, (reference, tmp_path))
    for a, b in zip(*metrics, strict=True):
        assert (a["step"], a["loss"], a.get("val_loss")) == (
            b["step"],
            b["loss"],
            b.get("val_loss"),
        )
    output = finish(start(arguments))
    assert "finished before" in output
    assert str(tmp_path / "export") in output


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(preset, tiny_genome, tmp_path, number):
    process = start(command(preset, tiny_genome, tmp_path, "--steps=100000"))
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("checkpoints/*.index")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    output = finish(process, 128 + number)
    assert "saved in" in output.splitlines()[-1]
    assert "run the same command again to go on" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_two_workers_train_the_same_model(reference, preset, tiny_genome, tmp_path):
    ports = [free_port() for _ in range(2)]
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    workers = [
        start(
            command(preset, tiny_genome, tmp_path),
            TF_CONFIG=json.dumps(
                {"cluster": cluster, "task": {"type": "worker", "index": index}}
            ),
        )
        for index in range(2)
    ]
    for worker in workers:
        finish(worker)
    assert_same(reference, tmp_path, atol=1e-5)
    rows = [
        [row["loss"] for row in workdir.read_metrics(folder)]
        for folder in (reference, tmp_path)
    ]
    np.testing.assert_allclose(*rows, atol=1e-5)


def free_port():
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


@pytest.mark.slow
def test_bad_flags_and_folders_are_one_line(reference, preset, tiny_genome, tmp_path):
    cases = [
        (["--model=no_such_model"], "no_such_model"),
        (["--dataset=no_such_dataset"], "no_such_dataset"),
        (["--batch_size=100000"], "fewer than batch_size=100000"),
        ([f"--workdir={reference}", "--seed=9"], "training.seed: 0 → 9"),
        (
            ["--model=logo6", "--npmi=none.csv", f"--workdir={tmp_path}/ranked"],
            "none.csv is not a ranking of 6-mers",
        ),
    ]
    for more, message in cases:
        output = finish(start(command(preset, tiny_genome, tmp_path, *more)), 1)
        line = output.splitlines()[-1]
        assert line.startswith("train: ")
        assert message in line
        assert "Traceback" not in output
    assert not (tmp_path / "ranked").exists()
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.slow
def test_a_run_is_exported_embedded_and_read_back(reference, tiny_fasta, tmp_path):
    def binary(name, *arguments):
        return start([sys.executable, "-m", f"genomenet.{name}", *arguments])

    release = tmp_path / "again"
    arguments = [f"--workdir={reference}", "--name=again", f"--output={release}"]
    assert finish(binary("export", *arguments)).strip() == str(release)
    assert "exists" in finish(binary("export", *arguments), code=1)
    finish(binary("export", *arguments, "--overwrite"))
    first = reference / "export" / reference.name
    for name in ("golden.json", "train.flags", "config.json"):
        assert (release / name).read_text() == (first / name).read_text()

    table = tmp_path / "vectors.h5"
    output = finish(
        binary(
            "embed", f"--model={release}", f"--input={tiny_fasta}", f"--output={table}"
        )
    )
    assert f"rows in {table}" in output
    import h5py

    with h5py.File(table) as file:
        names, starts = file["name"].asstr()[:], file["start"][:]
        is_finite = np.isfinite(file["embedding"][:]).all(-1)
    # contig_2 has N from 190 to 310, and windows of nothing else have no information.
    is_blank = (
        (names == "contig_2")
        & (starts >= 190)
        & (starts + harness.SELFGENOMENET["length"] <= 310)
    )
    assert is_blank.any()
    np.testing.assert_array_equal(is_finite, ~is_blank)
