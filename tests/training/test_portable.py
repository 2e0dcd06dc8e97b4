"""The portable route beside that of TensorFlow: rows, steps, commands, releases."""

import collections
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from genomenet import models
from genomenet.data import pipeline
from genomenet.models import family
from genomenet.release import folder
from genomenet.training import (
    portable_arrays,
    portable_data,
    portable_genome,
    schedule,
    settings,
    step,
    strategy,
)
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
def genome(fasta):
    return portable_genome.pack(str(fasta))


@pytest.fixture(scope="module")
def chunks(genome):
    return portable_data.plan(
        genome, splits="90/5/5", chunk_length=400, min_length=100, seed=0
    )


def count(arrays):
    return collections.Counter(np.asarray(array).tobytes() for array in arrays)


def test_splits_and_tiles_are_those_of_a_prepared_dataset(tiny_genome, genome, chunks):
    data = pipeline.Prepared(tiny_genome)
    assert set(data.splits) == set(chunks)
    window = {"length": 50, "stride": 30, "cut": "tile", "max_n": 0.0}
    for split, part in chunks.items():
        ours = [genome.take(np.array([s]), e - s)[0] for s, e in part]
        assert count(ours) == count(data.chunks(split))
        rows = portable_data.Rows(genome, part, family.Window(**window), seed=5)
        ours = rows.batch(0, rows.count())["bases"]
        theirs = data.windows(split, pipeline.Cutting(**window), seed=5)
        assert count(ours) == count(w.numpy() for w in theirs)


def test_keys_are_those_of_the_pipeline(tiny_genome):
    batches = pipeline.training_batches(
        pipeline.Prepared(tiny_genome),
        "train",
        pipeline.Cutting(length=50, stride=50),
        batch_size=8,
        seed=7,
        shuffle_buffer=8,
    )
    for number, batch in enumerate(batches.take(3)):
        expected = portable_data.keys(8 * number, 8, 7)
        np.testing.assert_array_equal(batch["key"], expected)


def test_cuts_are_those_of_the_pipeline(monkeypatch):
    window = family.Window(length=24, stride=23, max_n=0.0, shortest_cut=3)
    cutting = pipeline.Cutting(length=24, stride=23, max_n=0.0, shortest_cut=3)
    draws = np.arange(sum(portable_data._weights(window)))
    bases = np.random.default_rng(0).integers(0, 4, (len(draws), 23)).astype(np.uint8)
    ours = portable_data.cuts(bases, draws, window)
    for number, draw in enumerate(draws):
        monkeypatch.setattr(
            tf.random,
            "stateless_uniform",
            lambda *args, draw=draw: tf.constant(draw, tf.int32),
        )
        theirs = pipeline._cuts(tf.constant(bases[number]), cutting, None)
        for name in ("bases", "segment"):
            np.testing.assert_array_equal(ours[name][number], theirs[name])


# Trains as the test does, in a process of its own: one backend a process.
PEER = """
import json, pathlib, sys
import numpy as np
from genomenet import models
from genomenet.training import portable_arrays, portable_engine, schedule, settings
from tests import harness

folder = pathlib.Path(sys.argv[1])
case = json.loads((folder / "case.json").read_text())
chosen = settings.Settings(**case["settings"])
members = models.get_family(case["family"])
model = members.build(members.from_dict(case["model"]))
portable_arrays.load_model(model, folder / "first.npz")
optimizer = schedule.make_optimizer(chosen, model)
steps = portable_engine.Steps(members, model, optimizer, chosen)
stacked = portable_arrays.load(folder / "batches.npz")
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
portable_arrays.save_model(model, folder / "last.npz", step=chosen.steps)
assert "tensorflow" not in sys.modules
print(json.dumps([{k: float(v) for k, v in s.items()} for s in sums]))
"""


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    """Starts Python on JAX, which keeps what it compiles."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
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
def test_twenty_steps_of_both_routes_agree(name, genome, chunks, on_jax, tmp_path):
    fields, changes = CASES[name]
    values = {"steps": 20, "batch_size": 8, "learning_rate": 3e-3, **changes}
    chosen = settings.Settings(**values)
    members = models.get_family(name)
    config = members.from_dict(fields)
    model = members.build(config)
    rows = portable_data.Rows(genome, chunks["train"], members.window(config), seed=3)
    batches = [rows.batch(8 * i, 8) for i in range(20 * chosen.accumulate)]
    stacked = {key: np.stack([b[key] for b in batches]) for key in batches[0]}
    portable_arrays.save(tmp_path / "batches.npz", stacked)
    portable_arrays.save_model(model, tmp_path / "first.npz", step=0)
    case = {"family": name, "model": fields, "settings": values}
    (tmp_path / "case.json").write_text(json.dumps(case))
    theirs = json.loads(finish(on_jax("-c", PEER, tmp_path)))

    optimizer = schedule.make_optimizer(chosen, model)
    steps = step.Steps(
        members, model, optimizer, strategy=strategy.make("none"), settings=chosen
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
    last = portable_arrays.load(tmp_path / "last.npz")
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


def command(preset, fasta, workdir, *more):
    return [
        *("-m", "genomenet.training.portable", f"--model={preset}"),
        *(f"--genome={fasta}", f"--workdir={workdir}", "--chunk_length=400"),
        *("--steps=60", "--batch_size=8", "--learning_rate=1e-2"),
        *("--checkpoint_every=5", "--eval_every=30", *more),
    ]


@pytest.fixture(scope="module")
def finished(preset, fasta, on_jax, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    assert "finished: 60 steps" in finish(on_jax(*command(preset, fasta, workdir)))
    return workdir


def wait_for(workdir, number, process):
    deadline = time.monotonic() + 120
    while len(list(workdir.glob("checkpoints/step-*.npz"))) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_weights(
    finished, preset, fasta, on_jax, tmp_path
):
    packed = tmp_path / "genome.npz"
    arguments = ("-m", "genomenet.training.portable", f"--genome={fasta}")
    assert "18,000 bases" in finish(on_jax(*arguments, f"--pack={packed}"))
    arguments = command(preset, packed, tmp_path / "whole", "--keep=100")
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
    ours, theirs = (
        portable_arrays.load(path / "model.npz")
        for path in (finished, tmp_path / "whole")
    )
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])


@pytest.mark.slow
def test_bad_flags_are_one_line(finished, preset, fasta, on_jax, tmp_path):
    cases = [
        (["--model=no_such_model"], "no_such_model"),
        ([f"--genome={tmp_path}/none.fa"], "none.fa"),
        ([f"--genome={tmp_path}/none.npz"], "none.npz cannot be read"),
        ([f"--workdir={finished}", "--seed=9"], "training.seed: 0 → 9"),
        (["--init=pretrained"], "tiny has no trained weights for --init=pretrained"),
    ]
    for more, message in cases:
        output = finish(on_jax(*command(preset, fasta, tmp_path / "x", *more)), 1)
        line = output.splitlines()[-1]
        assert line.startswith("portable: ")
        assert message in line
        assert "Traceback" not in output


@pytest.mark.slow
def test_a_run_becomes_a_release(finished, fasta, on_jax, tmp_path):
    arguments = [f"--from_npz={finished}/model.npz", "--name=tiny"]
    release = tmp_path / "tiny"
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    output = subprocess.run(
        [
            *(sys.executable, "-m", "genomenet.export"),
            *(*arguments, f"--output={release}"),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert output.stdout.strip() == str(release), output.stderr
    metrics = json.loads((release / "metrics.json").read_text())
    assert metrics["steps"] == 60
    assert metrics["val_loss"] > 0
    flags_text = (release / "train.flags").read_text()
    assert flags_text.startswith("# python -m genomenet.training.portable\n--model=")
    assert "--genome" not in flags_text
    members = models.get_family("selfgenomenet")
    direct = members.build(members.from_dict(SELF))
    assert portable_arrays.load_model(direct, finished / "model.npz") == 60
    bases = np.random.default_rng(0).integers(0, 4, (3, 40)).astype(np.uint8)
    expected = members.embed(direct, {"bases": bases})
    more = ("--init=pretrained", "--steps=1", "--learning_rate=1e-9")
    arguments = command(release, fasta, tmp_path / "further", *more)
    assert "finished: 1 steps" in finish(on_jax(*arguments))
    further = portable_arrays.load(tmp_path / "further" / "model.npz")
    for weight in direct.weights:
        np.testing.assert_allclose(further[weight.path], weight, atol=1e-6)
    loaded = members.embed(folder.load_model(release), {"bases": bases})
    np.testing.assert_allclose(loaded, expected, atol=1e-6)
    for case in json.loads((release / "golden.json").read_text()):
        saved = tf.saved_model.load(str(release / "saved_model"))
        found = saved.embed([case["sequence"]])["embedding"][0, :5]
        np.testing.assert_allclose(found, case["embed"], atol=1e-6)


def test_weights_of_another_model_are_refused(tmp_path):
    members = models.get_family("selfgenomenet")
    model = members.build(members.from_dict(SELF))
    path = tmp_path / "model.npz"
    portable_arrays.save_model(model, path, step=3)
    arrays = portable_arrays.load(path)
    [name] = [name for name in arrays if name.endswith("projection_0/kernel")]
    before = [w.numpy().copy() for w in model.weights]
    changes = {
        f"lacks {name}": {k: v for k, v in arrays.items() if k != name},
        "has no other/kernel": {**arrays, "other/kernel": np.zeros(2)},
        rf"{name} has shape \(2,\), not \(8, 8\)": {**arrays, name: np.zeros(2)},
    }
    for message, found in changes.items():
        portable_arrays.save(path, found)
        with pytest.raises(ValueError, match=rf"model.npz does not fit.*{message}"):
            portable_arrays.load_model(model, path)
    for weight, array in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), array)
