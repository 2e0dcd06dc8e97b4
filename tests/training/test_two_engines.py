"""TensorFlow and JAX beside each other: steps, commands, releases."""

import functools
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
import tensorflow as tf

from genomenet import models
from genomenet.data import packed_chunks, prepared, shards
from genomenet.release import folder
from genomenet.release import saved as saved_lib
from genomenet.training import engines, npz_file, schedule, settings, workdir
from genomenet.training.engines import tensorflow as engine
from tests import harness

ROOT = pathlib.Path(__file__).parents[2]
SELF = harness.SELFGENOMENET
BERT = {**harness.BERT, "masking": "genemask"}
CASES = {
    "selfgenomenet": (SELF, {"schedule": "cosine", "clip_norm": 0.5}),
    "bert": (
        BERT,
        {
            "schedule": "linear",
            "warmup_steps": 5,
            "weight_decay": 0.01,
            "beta_2": 0.98,
            "epsilon": 1e-6,
            "clip_norm": 1.0,
            "accumulate": 2,
        },
    ),
}


@pytest.fixture(scope="module")
def fasta(tiny_genome):
    """The file that the prepared dataset was made from."""
    return tiny_genome.parents[1] / "genome.fa"


@pytest.fixture(scope="module")
def genome(tiny_genome):
    return prepared.read(tiny_genome)


def test_files_and_shards_are_packed_alike(tiny_genome, fasta, genome, tmp_path):
    """Base for base, and with one digest; and the shards hold the same."""
    found = prepared.pack(
        [str(fasta)], tmp_path / "genome.npz", name="tiny", chunk_length=400
    )
    assert found.chunks.digest == genome.chunks.digest
    assert packed_chunks.verify(genome.chunks)
    data = shards.Prepared(tiny_genome)
    assert set(data.splits) == set(genome.chunks.splits)
    for split in data.splits:
        theirs = [
            (chunk["contig"].numpy().decode(), int(chunk["start"]), chunk["bases"])
            for chunk in data.dataset(split)
        ]
        intervals = genome.chunks.intervals(split)
        assert len(intervals) == len(theirs)
        theirs.sort(key=lambda chunk: chunk[:2])
        for (start, end), (_, _, bases) in zip(intervals, theirs, strict=True):
            ours = genome.chunks.genome.take(np.array([start]), end - start)[0]
            np.testing.assert_array_equal(ours, bases)


# Trains as the test does, in a process of its own: one backend a process.
PEER = """
import json, pathlib, sys
import numpy as np
from genomenet import models
from genomenet.training import engines, npz_file, schedule, settings
from genomenet.training.engines import jax as engine
from tests import harness

folder = pathlib.Path(sys.argv[1])
case = json.loads((folder / "case.json").read_text())
chosen = settings.Settings(**case["settings"])
members = models.get_family(case["family"])
model = members.build(members.from_dict(case["model"]))
npz_file.load_model(model, folder / "first.npz")
optimizer = schedule.make_optimizer(chosen, model)
steps = engine.Steps(members, model, optimizer, chosen, engines.devices().mesh)
stacked = npz_file.load(folder / "batches.npz")
batches = [
    {name: array[i] for name, array in stacked.items()}
    for i in range(len(stacked["bases"]))
]
sums = []
for i in range(chosen.steps):
    first = i * chosen.accumulate
    sums.append(steps.train(batches[first : first + chosen.accumulate]))
sums.append(steps.evaluate(batches[0]))
steps.write_back()
npz_file.save_model(model, folder / "last.npz", step=chosen.steps)
assert "tensorflow" not in sys.modules
print(json.dumps([{k: float(v) for k, v in s.items()} for s in sums]))
"""


JAX = {"JAX_PLATFORMS": "cpu"}


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    """Starts Python on JAX, which keeps what it compiles."""
    environment = {
        **os.environ,
        **JAX,
        "KERAS_BACKEND": "jax",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return functools.partial(start, environment)


def start(environment, *arguments):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, code=0):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == code, output + errors
    return output + errors if code else output


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_twenty_steps_of_both_engines_agree(name, genome, on_jax, tmp_path):
    fields, changes = CASES[name]
    values = {"steps": 20, "batch_size": 8, "learning_rate": 3e-3, **changes}
    chosen = settings.Settings(**values)
    members = models.get_family(name)
    config = members.from_dict(fields)
    model = members.build(config)
    rows = genome.rows("train", members.window(config), seed=3)
    batches = [rows.batch(8 * i, 8) for i in range(20 * chosen.accumulate)]
    stacked = {key: np.stack([b[key] for b in batches]) for key in batches[0]}
    npz_file.save(tmp_path / "batches.npz", stacked)
    npz_file.save_model(model, tmp_path / "first.npz", step=0)
    case = {"family": name, "model": fields, "settings": values}
    (tmp_path / "case.json").write_text(json.dumps(case))
    theirs = json.loads(finish(on_jax("-c", PEER, tmp_path)))

    optimizer = schedule.make_optimizer(chosen, model)
    steps = engine.Steps(
        members, model, optimizer, strategy=engines.devices().strategy, settings=chosen
    )
    tensors = [{k: tf.constant(v) for k, v in batch.items()} for batch in batches]
    first = {w.path: w.numpy().copy() for w in model.weights}
    ours = [
        steps.train(tensors[i : i + chosen.accumulate], False)
        for i in range(0, len(tensors), chosen.accumulate)
    ]
    ours.append(steps.evaluate(tensors[0]))
    for mine, other in zip(ours, theirs, strict=True):
        assert {*mine, "stop"} == {*other, "stop"}
        for key, value in other.items():
            assert float(mine[key]) == pytest.approx(value, rel=1e-4, abs=1e-4), key
    last = npz_file.load(tmp_path / "last.npz")
    for weight in model.weights:
        np.testing.assert_allclose(
            last[weight.path], weight.numpy(), atol=1e-4, rtol=0, err_msg=weight.path
        )
    moved = [np.abs(w.numpy() - first[w.path]).max() for w in model.trainable_weights]
    assert np.median(moved) > 1e-3


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    path.mkdir()
    content = {"format": 1, "family": "selfgenomenet", "model": SELF, "training": {}}
    (path / "config.json").write_text(json.dumps(content))
    return path


def command(preset, fasta, folder, *more, dataset=None):
    source = [f"--fasta={fasta}", "--chunk_length=400"]
    if dataset is not None:
        source = [f"--dataset={dataset}"]
    return [
        *("-m", "genomenet.train", f"--model={preset}", *source),
        f"--workdir={folder}",
        *("--steps=60", "--batch_size=8", "--learning_rate=1e-2"),
        *("--checkpoint_every=5", "--eval_every=30", *more),
    ]


@pytest.fixture(scope="module")
def finished(preset, fasta, on_jax, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert "finished: 60 steps" in finish(on_jax(*command(preset, fasta, folder)))
    return folder


def wait_for(folder, number, process):
    deadline = time.monotonic() + 120
    while len(list(folder.glob("checkpoints/step-*.npz"))) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def last_weights(folder):
    newest = max(folder.glob("checkpoints/step-*.npz"), key=npz_file.step_of)
    return npz_file.load(newest)


@pytest.mark.slow
@pytest.mark.parametrize("family", CASES)
def test_the_command_trains_the_same_on_both_engines(family, fasta, on_jax, tmp_path):
    """Twenty steps from the same flags, weights included, in processes of their own."""
    fields, changes = CASES[family]
    preset = tmp_path / "tiny"
    preset.mkdir()
    content = {"format": 1, "family": family, "model": fields, "training": changes}
    (preset / "config.json").write_text(json.dumps(content))
    rows = {}
    for name in ("jax", "tensorflow"):
        more = ("--steps=20", "--eval_every=10", "--seed=5")
        arguments = command(preset, fasta, tmp_path / name, *more)
        process = start({**os.environ, **JAX, "KERAS_BACKEND": name}, *arguments)
        assert "finished: 20 steps" in finish(process)
        rows[name] = workdir.read_metrics(tmp_path / name)
    for ours, theirs in zip(*rows.values(), strict=True):
        assert ours.keys() == theirs.keys()
        for key in ("loss", "val_loss", "accuracy", "val_accuracy"):
            if key in ours:
                assert ours[key] == pytest.approx(theirs[key], abs=1e-3), key
    a, b = (folder.load_model(tmp_path / name / "export" / name) for name in rows)
    for ours, theirs in zip(a.weights, b.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4, err_msg=ours.path)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_weights(
    finished, preset, fasta, on_jax, tmp_path
):
    arguments = command(preset, fasta, tmp_path / "whole", "--keep=100")
    for number in (1, 4):
        process = on_jax(*arguments)
        wait_for(tmp_path / "whole", number, process)
        process.kill()
        process.communicate()
    process = on_jax(*arguments)
    wait_for(tmp_path / "whole", 6, process)
    process.send_signal(signal.SIGTERM)
    output = finish(process, 128 + signal.SIGTERM)
    assert "run the same command again to go on" in output.splitlines()[-1]
    assert "finished: 60 steps" in finish(on_jax(*arguments))
    assert "finished before" in finish(on_jax(*arguments))
    ours, theirs = (last_weights(path) for path in (finished, tmp_path / "whole"))
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])


@pytest.mark.slow
def test_two_processes_train_as_one(finished, preset, fasta, tmp_path):
    """Each computes half of every batch; what they leave is what one leaves."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    packed = tmp_path / "genome.npz"
    shutil.copy(finished / "genome.npz", packed)
    processes = []
    for index in range(2):
        environment = {
            **os.environ,
            **JAX,
            "KERAS_BACKEND": "jax",
            "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
            "JAX_NUM_PROCESSES": "2",
            "JAX_PROCESS_ID": str(index),
        }
        arguments = command(preset, fasta, tmp_path / "shared", dataset=packed)
        processes.append(start(environment, *arguments))
    outputs = [finish(process) for process in processes]
    assert "finished: 60 steps" in outputs[0]
    assert "finished" not in outputs[1]
    ours, theirs = (last_weights(path) for path in (finished, tmp_path / "shared"))
    for name, array in ours.items():
        if name.startswith("trainable/"):
            np.testing.assert_allclose(array, theirs[name], atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_bad_flags_are_one_line(finished, preset, fasta, on_jax, tmp_path):
    cases = [
        (["--model=no_such_model"], "no_such_model"),
        ([f"--fasta={tmp_path}/none.fa"], "none.fa"),
        (["--fasta="], "fasta names no file"),
        ([f"--workdir={finished}", "--seed=9"], "training.seed: 0 → 9"),
        (["--init=pretrained"], "tiny has no trained weights for init=pretrained"),
        (["--distribute=multi_worker"], "JAX_COORDINATOR_ADDRESS"),
    ]
    for number, (more, message) in enumerate(cases):
        output = finish(
            on_jax(*command(preset, fasta, tmp_path / f"{number}", *more)), 1
        )
        line = output.splitlines()[-1]
        assert line.startswith("train: ")
        assert message in line
        assert "Traceback" not in output
    missing = f"{tmp_path}/none.npz"
    output = finish(on_jax(*command(preset, fasta, tmp_path / "m", dataset=missing)), 1)
    assert "none.npz" in output.splitlines()[-1]


@pytest.mark.slow
def test_a_run_on_jax_leaves_a_release(
    finished, preset, fasta, on_jax, tmp_path, monkeypatch
):
    release = finished / "export" / "whole"
    metrics = json.loads((release / "metrics.json").read_text())
    assert metrics["steps"] == 60
    assert metrics["val_loss"] > 0
    assert "--fasta" not in (release / "train.flags").read_text()
    loaded = folder.load_model(release)
    last = last_weights(finished)
    for weight in loaded.weights:
        np.testing.assert_array_equal(weight, last[f"trainable/{weight.path}"])
    more = ("--init=pretrained", "--steps=1", "--learning_rate=1e-9")
    arguments = command(release, fasta, tmp_path / "further", *more)
    assert "finished: 1 steps" in finish(on_jax(*arguments))
    further = last_weights(tmp_path / "further")
    for weight in loaded.weights:
        found = further[f"trainable/{weight.path}"]
        np.testing.assert_allclose(found, weight, atol=1e-6)
    for case in json.loads((release / "golden.json").read_text()):
        monkeypatch.setenv("GENOMENET_CACHE", str(tmp_path / "cache"))
        saved = tf.saved_model.load(str(saved_lib.saved_model(release)))
        found = saved.embed([case["sequence"]])["embedding"][0, :5]
        np.testing.assert_allclose(found, case["embed"], atol=1e-6)


def test_weights_of_another_model_are_refused(tmp_path):
    members = models.get_family("selfgenomenet")
    model = members.build(members.from_dict(SELF))
    path = tmp_path / "model.npz"
    npz_file.save_model(model, path, step=3)
    arrays = npz_file.load(path)
    [name] = [name for name in arrays if name.endswith("projection_0/kernel")]
    before = [w.numpy().copy() for w in model.weights]
    changes = {
        f"lacks {name}": {k: v for k, v in arrays.items() if k != name},
        "has no other/kernel": {**arrays, "other/kernel": np.zeros(2)},
        rf"{name} has shape \(2,\), not \(8, 8\)": {**arrays, name: np.zeros(2)},
    }
    for message, found in changes.items():
        npz_file.save(path, found)
        with pytest.raises(ValueError, match=rf"model.npz does not fit.*{message}"):
            npz_file.load_model(model, path)
    for weight, array in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), array)
