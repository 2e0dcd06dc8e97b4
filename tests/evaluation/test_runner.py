"""Runs of a protocol with a tiny model: what is kept, and how it goes on."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from genomenet.data import building, examples, recipes, sources, tasks
from genomenet.evaluation import gapped_kmers, protocols, results, runner, tables
from genomenet.evaluation import sampler as sampler_lib
from genomenet.models import selfgenomenet
from genomenet.training import loop
from tests import harness

MODEL = {**harness.SELFGENOMENET, "max_length": 200}
MOTIF = "TGACGTCA"


def sequences(seed, count, length=40):
    """Random sequences; those of class yes hold the motif."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        bases = "".join(rng.choice(list("ACGT"), length))
        if number % 2:
            at = int(rng.integers(0, length - len(MOTIF)))
            bases = bases[:at] + MOTIF + bases[at + len(MOTIF) :]
        yield bases, ("no", "yes")[number % 2]


def write_table(path, rows):
    lines = [f"{bases}\t{label}\n" for bases, label in rows]
    path.write_text("sequence\tlabel\n" + "".join(lines))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two tables, a preset, and a model with weights."""
    folder = tmp_path_factory.mktemp("files")
    write_table(folder / "train.tsv", sequences(0, 40))
    write_table(folder / "test.tsv", sequences(1, 30))
    fields = selfgenomenet.to_dict(selfgenomenet.from_dict(MODEL))
    content = {"format": 1, "family": "selfgenomenet", "model": fields, "training": {}}
    for name in ("preset", "tiny"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(content))
    keras.utils.set_random_seed(123)  # none that a run has
    model = selfgenomenet.build(selfgenomenet.from_dict(MODEL))
    model.save_weights(folder / "tiny" / "model.weights.h5")
    return folder


@pytest.fixture(scope="module")
def sampler(files):
    given = {"train": str(files / "train.tsv"), "test": str(files / "test.tsv")}
    return sampler_lib.Sampler(examples.read_tables(given))


@pytest.fixture
def quick(monkeypatch):
    """Replaces training by a guess that depends on the seed, and lists the runs."""
    ran = []

    def guess(data, seed):
        rng = np.random.default_rng(seed)
        p = rng.random(len(data["test"]))
        return np.stack([1 - p, p], axis=1), 0.5

    def fine_tuned(one, recipe, data, folder, partial):
        ran.append(one.key)
        partial.mkdir(parents=True)
        return *guess(data, one.seed), "max"

    monkeypatch.setattr(runner, "_fine_tuned", fine_tuned)
    monkeypatch.setattr(runner, "_small_cnn", guess)
    monkeypatch.setattr(gapped_kmers, "is_installed", lambda: False)
    return ran


FEW = protocols.Protocol(kind="few_shot", settings=(3, 5))
TIMES = ("seconds", "training_seconds")


def timeless(rows):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def test_sequences_too_short_are_named_before_any_run(files, quick, tmp_path):
    rows = [*sequences(0, 40), ("ACGTACG", "yes")]
    write_table(tmp_path / "train.tsv", rows)
    given = {"train": str(tmp_path / "train.tsv"), "test": str(files / "test.tsv")}
    short = sampler_lib.Sampler(examples.read_tables(given))
    with pytest.raises(sources.DatasetError, match="train.tsv:42 has 7 bases, the mod"):
        runner.run(FEW, [str(files / "tiny")], short, seeds=1, workdir=tmp_path / "w")
    assert not quick
    assert not (tmp_path / "w").exists()


def test_every_run_has_a_row(files, sampler, quick, tmp_path, capsys):
    models = [str(files / "tiny"), str(files / "preset")]
    rows = runner.run(FEW, models, sampler, seeds=2, workdir=tmp_path)
    assert len(rows) == 14 * 2 * 2
    assert {row["model"] for row in rows} == {
        "tiny",
        "tiny, head",
        "tiny, readouts",
        "random tiny",
        "random tiny, head",
        "random tiny, readouts",
        "random preset",
        "random preset, head",
        "random preset, readouts",
        *(name for name in protocols.BASELINES if name != protocols.GAPPED),
    }
    first = rows[0]
    assert (first["name"], first["init"], first["train"]) == (
        "tiny",
        "pretrained",
        "all",
    )
    assert (first["protocol"], first["dataset"]) == ("few_shot", "train.tsv")
    assert (first["training_set"], first["training_sequences"]) == ("drawn", 6)
    assert first["test_sequences"] == 30
    assert {"accuracy", "auroc", "auprc", "f1", "mcc", *TIMES} <= first.keys()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".lock",
        "protocol.json",
        "results.csv",
    ]
    err = capsys.readouterr().err.splitlines()
    assert err[:2] == [
        "skipping gapped k-mer SVM: it needs pip install 'genomenet[audit]'",
        "run 1/56 | tiny, shots 3, seed 0 | ETA unknown",
    ]
    assert err[-1].startswith("run 56/56 | small CNN, shots 5, seed 1 | ETA 0:")


@pytest.mark.slow
def test_finished_runs_are_skipped(files, sampler, quick, tmp_path):
    models = [str(files / "tiny")]
    whole = runner.run(FEW, models, sampler, seeds=2, workdir=tmp_path / "whole")
    before = len(quick)
    small = dataclasses.replace(FEW, settings=(3,))
    part = tmp_path / "part"
    runner.run(small, models, sampler, seeds=1, workdir=part)
    assert len(quick) == before + 6
    rows = runner.run(FEW, models, sampler, seeds=2, workdir=part)
    assert len(quick) == 2 * before == len(set(quick)) * 2

    def ordered(rows):
        return sorted(timeless(rows), key=lambda r: (r["model"], r["shots"], r["seed"]))

    assert ordered(rows) == ordered(whole)
    text = (part / "results.csv").read_text()
    assert runner.run(FEW, models, sampler, seeds=2, workdir=part) == rows
    assert (part / "results.csv").read_text() == text
    assert len(quick) == 2 * before


def test_another_evaluation_is_refused(files, sampler, quick, tmp_path):
    models = [str(files / "preset")]
    runner.run(FEW, models, sampler, seeds=1, workdir=tmp_path)
    text = (tmp_path / "results.csv").read_text()
    fractions = protocols.Protocol(kind="label_fraction", settings=(0.5,))
    with pytest.raises(ValueError, match="few_shot → label_fraction"):
        runner.run(fractions, models, sampler, seeds=1, workdir=tmp_path)
    with pytest.raises(ValueError, match="k: 5 → 3"):
        runner.run(FEW, models, sampler, seeds=1, workdir=tmp_path, k=3)
    fewer = sampler.data.with_train(sampler.data["train"].take(range(20)))
    with pytest.raises(ValueError, match="train_digest: .* → ") as caught:
        runner.run(FEW, models, sampler_lib.Sampler(fewer), seeds=1, workdir=tmp_path)
    assert "\n" not in str(caught.value)
    other = tmp_path / "other" / "preset"
    other.mkdir(parents=True)
    content = json.loads((files / "preset" / "config.json").read_text())
    content["model"]["units"] = 16
    (other / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="preset has changed"):
        runner.run(FEW, [str(other)], sampler, seeds=1, workdir=tmp_path)
    with pytest.raises(ValueError, match="two models are called 'preset'"):
        runner.run(FEW, [*models, str(other)], sampler, seeds=1, workdir=tmp_path)
    assert (tmp_path / "results.csv").read_text() == text
    # More models join those that are there.
    runner.run(FEW, [str(files / "tiny")], sampler, seeds=1, workdir=tmp_path)
    known = json.loads((tmp_path / "protocol.json").read_text())["models"]
    assert set(known) == {"preset", "tiny"}


def test_what_cannot_be_drawn_fails_before_the_first_run(
    files, sampler, quick, tmp_path
):
    many = protocols.Protocol(kind="few_shot", settings=(5, 50))
    with pytest.raises(sources.DatasetError, match="fewer than shots=50"):
        runner.run(many, [str(files / "tiny")], sampler, seeds=1, workdir=tmp_path)
    assert not quick
    train = dataclasses.replace(
        sampler.data, splits={"train": sampler.data.splits["train"]}
    )
    with pytest.raises(ValueError, match="no test split: give test_table"):
        sampler_lib.Sampler(train)


def test_seeds_draw_other_examples(sampler):
    (first, _), (same, _), (second, _) = (
        sampler.draw(FEW, 5, seed) for seed in (0, 0, 1)
    )
    assert first["train"].digest() == same["train"].digest()
    assert first["train"].digest() != second["train"].digest()
    assert first["test"].digest() == second["test"].digest()
    share = protocols.Protocol(kind="label_fraction", settings=(0.1,))
    data, origin = sampler.draw(share, 0.1, 0)
    assert (len(data["train"]), origin) == (4, "drawn")
    assert set(data.splits) == {"train", "test"}


class Task(recipes.FewShot, skip_registration=True):
    """Two published sets; the second holds more than its name says."""

    FOLDER = "Task"
    CLASSES = ("0", "1")
    SHOTS = {2: 2, 3: 4}  # noqa: RUF012
    TEST = {"0": 2, "1": 2}  # noqa: RUF012


def test_published_sets_are_taken(tmp_path):
    rows = [(bases, "01"[label == "yes"]) for bases, label in sequences(3, 16)]
    for name, part in (("2/train", rows[:4]), ("3/train", rows[4:12])):
        path = tmp_path / "task" / f"{name}.tsv"
        path.parent.mkdir(parents=True)
        write_table(path, ((_kmers(bases), label) for bases, label in part))
    write_table(
        tmp_path / "task" / "test.tsv", ((_kmers(b), label) for b, label in rows[12:])
    )
    path, _ = building.prepare(
        "task",
        lambda root: Task(data_dir=root),
        data_dir=tmp_path / "data",
        manual_dir=tmp_path / "task",
        show_progress=False,
    )
    sampler = sampler_lib.Sampler(examples.read_prepared(path), path)
    found = {}
    for shots in (2, 3, 4):
        data, found[shots] = sampler.draw(FEW, shots, 0)
        other, origin = sampler.draw(FEW, shots, 1)
        assert origin == "drawn"
        for one in (data, other):
            assert np.bincount(one["train"].labels).tolist() == [shots, shots]
    assert found == {2: "train_2", 3: "drawn", 4: "train_3"}
    ids = sampler.draw(FEW, 2, 0)[0]["train"].ids
    assert all(name.startswith("train_2:") for name in ids)


def _kmers(bases):
    return " ".join(bases[i : i + 6] for i in range(len(bases) - 5))


def test_a_model_is_trained(files, sampler, tmp_path, monkeypatch):
    weights = (files / "tiny" / "model.weights.h5").read_bytes()
    brief = protocols.Recipe(epochs=1, batch_size=3, learning_rate=1e-3)
    monkeypatch.setattr(protocols, "_FEW", brief)
    three = dataclasses.replace(FEW, settings=(3,))
    plan = protocols.plan
    monkeypatch.setattr(protocols, "plan", lambda *a, **others: plan(*a, **others)[:1])
    models = [str(files / "tiny")]
    (row,) = runner.run(three, models, sampler, seeds=1, workdir=tmp_path)
    assert (row["model"], row["init"]) == ("tiny", "pretrained")
    assert 0 < row["training_seconds"] <= row["seconds"]
    assert not (tmp_path / "unfinished").exists()
    assert (files / "tiny" / "model.weights.h5").read_bytes() == weights


@pytest.mark.slow
def test_a_model_is_trained_and_goes_on_where_it_was_stopped(
    files, sampler, tmp_path, monkeypatch
):
    weights = (files / "tiny" / "model.weights.h5").read_bytes()
    models, three = [str(files / "tiny")], dataclasses.replace(FEW, settings=(3,))
    # Baselines and probes are tested elsewhere.
    monkeypatch.setattr(protocols, "BASELINES", (protocols.KMER,))
    monkeypatch.setattr(protocols, "TRAINS", (protocols.ALL,))
    whole = runner.run(three, models, sampler, seeds=1, workdir=tmp_path / "whole")
    original, steps = runner.finetune.loop._Run._row, []

    def interrupt(self, step, totals):
        steps.append(step)
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, step, totals)

    monkeypatch.setattr(runner.finetune.loop._Run, "_row", interrupt)
    part = tmp_path / "part"
    with pytest.raises(loop.Stopped):
        runner.run(three, models, sampler, seeds=1, workdir=part)
    assert not tables.read_csv(part / "results.csv")
    unfinished = part / "unfinished" / "tiny-3-0"
    assert float((unfinished / "seconds.txt").read_text()) > 0
    rows = runner.run(three, models, sampler, seeds=1, workdir=part)
    assert not (part / "unfinished").exists()
    assert timeless(rows) == timeless(whole)
    assert (files / "tiny" / "model.weights.h5").read_bytes() == weights
    assert whole[0]["auroc"] != whole[1]["auroc"]  # pretrained, random
    assert [row["model"] for row in rows] == ["tiny", "random tiny", protocols.KMER]


KINDS = ("binary", "multiclass", "multi_label", "regression")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_small_network_learns_every_kind_of_label(kind, sampler, monkeypatch):
    few = protocols.Recipe(epochs=1, batch_size=8, learning_rate=1e-3)
    monkeypatch.setattr(protocols, "CNN_RECIPE", few)
    data = sampler.data
    of_kind = {
        "binary": (("no", "yes"), lambda x: x),
        "multiclass": (("no", "yes", "never"), lambda x: x),
        "multi_label": (("no", "yes"), lambda x: np.eye(2, dtype=np.uint8)[x]),
        "regression": ((), lambda x: 100 + x.astype(np.float32)),
    }
    classes, convert = of_kind[kind]
    task = tasks.Task(kind=kind, classes=classes)
    splits = {
        name: dataclasses.replace(split, labels=convert(split.labels))
        for name, split in data.splits.items()
    }
    data = dataclasses.replace(data, task=task, splits=splits)
    state = random.getstate()
    found, seconds = runner._small_cnn(data, 0)
    assert random.getstate() == state
    np.testing.assert_array_equal(runner._small_cnn(data, 0)[0], found)
    assert found.shape == ((30,) if kind == "regression" else (30, len(classes)))
    assert np.isfinite(found).all()
    assert seconds > 0
    if kind == "regression":
        assert 90 < found.mean() < 110
    elif kind != "multi_label":
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


def test_results_are_written(files, sampler, quick, tmp_path):
    runner.run(FEW, [str(files / "tiny")], sampler, seeds=3, workdir=tmp_path)
    text = results.write(tmp_path, FEW, sampler.data.task)
    assert "| auroc by shots | 3 | 5 |" in text
    report = (tmp_path / "results.md").read_text()
    for part in (
        "# few_shot on train.tsv",
        "binary, 30 test sequences; mean ± standard deviation of 3 seeds.",
        "- 3, 5 shots: 20 epochs, batches of 5, learning rate 0.0001.",
        "- Training examples: drawn with the seed for 3, 5. Seeds vary",
        "regression on the 5-mers of both strands",
        "## Paired t-tests of auroc",
        "| 3 | tiny | k-mer regression | 3 |",
        text,
    ):
        assert part in report
    assert (tmp_path / "results.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_the_command_from_end_to_end(files, tmp_path):
    folder = tmp_path / "out"
    runs = 11 + gapped_kmers.is_installed()
    command = [
        *(sys.executable, "-m", "genomenet.evaluate", "--protocol=label_fraction"),
        f"--models={files / 'tiny'}",
        f"--table={files / 'train.tsv'}",
        f"--test_table={files / 'test.tsv'}",
        *("--fractions=0.5", "--seeds=1", f"--workdir={folder}"),
    ]

    def start(*more):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*command, *more], **pipes)

    seen = []
    with start() as first:
        for line in first.stderr:
            seen.append(line)
            if line.startswith(f"run 3/{runs}"):
                first.send_signal(signal.SIGINT)
    assert first.returncode == 128 + signal.SIGINT
    assert seen[-1] == "run the same command again to go on\n"
    done = len(tables.read_csv(folder / "results.csv"))
    assert done >= 2
    with start() as second:
        out, err = second.communicate(timeout=600)
    assert second.returncode == 0, err
    assert f"run {done + 1}/{runs} | " in err
    assert f"run 1/{runs}" not in err
    assert "| auroc by label_fraction | 0.5 |" in out
    rows = tables.read_csv(folder / "results.csv")
    assert len(rows) == runs
    assert {path.name for path in folder.iterdir()} == {
        *(".lock", "protocol.json", "results.csv", "results.md", "results.png")
    }
    with start("--k=3") as refused:
        _, err = refused.communicate(timeout=120)
    assert refused.returncode == 1
    assert err.splitlines()[-1].startswith(f"evaluate: {folder} holds another")
