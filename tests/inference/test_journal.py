"""What is computed before a kill is taken, and nothing else."""

import gzip
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import genomenet
from genomenet import catalog
from genomenet.inference import journal

WINDOWS = [
    [np.full(8, n, np.uint8), np.arange(n + 1, dtype=np.uint8)] for n in range(4)
]


class Killed(BaseException):
    """Ends a block as a signal does."""


def run(path, windows=WINDOWS, *, identity=None, kill_after=None, said=None):
    """Asks for the values of all parts; returns them, and how many were computed."""
    computed = []

    def compute():
        if kill_after == len(computed):
            raise Killed
        computed.append(len(computed))
        return np.float32([[w.sum(), np.nan] for w in part])

    say = [].append if said is None else said.append
    values = []
    with journal.Journal(path, identity or {"model": 1}, say) as kept:
        for part in windows:
            values.append(kept.values(part, compute))
    return np.concatenate(values), len(computed)


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def stopped(path, after=2):
    with pytest.raises(Killed):
        run(path, kill_after=after)


def test_a_run_goes_on_from_the_last_whole_part(tmp_path):
    path, said = tmp_path / "x.tsv", []
    expected, count = run(path)
    assert count == 4
    assert left(tmp_path) == []
    stopped(path)
    assert left(tmp_path) == [".x.tsv.journal"]
    values, count = run(path, said=said)
    np.testing.assert_array_equal(values, expected)
    assert count == 2
    assert said == [f"resuming: 4 windows of {path} were computed before"]
    assert left(tmp_path) == []


@pytest.mark.parametrize("cut", [1, 20, 40, 60, 150])
def test_a_torn_part_is_computed_again(tmp_path, cut):
    path = tmp_path / "x.tsv"
    expected, _ = run(path)
    stopped(path)
    kept = tmp_path / ".x.tsv.journal"
    kept.write_bytes(kept.read_bytes()[:-cut])
    values, count = run(path)
    np.testing.assert_array_equal(values, expected)
    assert count > 2


def test_a_damaged_byte_is_noticed_anywhere(tmp_path):
    path, kept = tmp_path / "x.tsv", tmp_path / ".x.tsv.journal"
    expected, _ = run(path)
    stopped(path)
    content = kept.read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        kept.write_bytes(damaged)
        values, count = run(path)
        np.testing.assert_array_equal(values, expected)
        assert count > 2


def test_other_windows_or_another_model_are_computed(tmp_path):
    path = tmp_path / "x.tsv"
    stopped(path)
    others = [WINDOWS[0], WINDOWS[2], *WINDOWS[1:]]
    assert run(path, others)[1] == 4
    stopped(path)
    assert run(path, identity={"model": 2})[1] == 4


def test_an_error_leaves_nothing(tmp_path):
    def fail():
        raise ValueError("no")

    with (
        pytest.raises(ValueError, match="no"),
        journal.Journal(tmp_path / "x", {}, print) as kept,
    ):
        kept.values(WINDOWS[0], fail)
    assert left(tmp_path) == []


def test_two_at_once_do_not_mix(tmp_path):
    path = tmp_path / "x.tsv"
    with journal.Journal(path, {}, print) as first:
        first.values(WINDOWS[0], lambda: np.ones(2, np.float32))
        assert run(path)[1] == 4
        assert left(tmp_path) == [".x.tsv.journal"]
    assert left(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "output"), [("embed", "x.parquet"), ("predict", "x.tsv")]
)
def test_a_killed_command_goes_on(tmp_path, command, output):
    model = "selfgenomenet_bacteria2"
    if command == "predict":
        classifier = genomenet.Classifier.from_preset(model, classes=["a", "b"])
        model = tmp_path / "classifier"
        classifier.save_to_preset(model)
    (genome,) = catalog.dataset_folder("ecoli_k12").glob("*.fa.gz")
    with gzip.open(genome) as file, (tmp_path / "part.fa").open("wb") as part:
        part.write(file.read(400_000))

    def start(folder):
        folder.mkdir(exist_ok=True)
        arguments = [f"--output={folder / output}", "--stride=100"]
        arguments += [f"--model={model}", f"--input={tmp_path / 'part.fa'}"]
        return subprocess.Popen(
            [sys.executable, "-m", f"genomenet.{command}", *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )

    whole = start(tmp_path / "whole")
    assert "resuming" not in whole.communicate()[1]
    cut = tmp_path / "cut"
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = start(cut)
        before = size(cut)
        while size(cut) < before + 8_000:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate()
        assert not (cut / output).exists()
        assert size(cut) > 0
    process = start(cut)
    assert "resuming: " in process.communicate()[1]
    assert process.returncode == 0
    assert [path.name for path in cut.iterdir()] == [output]
    expected = (tmp_path / "whole" / output).read_bytes()
    assert (cut / output).read_bytes() == expected


def size(folder):
    """Returns the bytes of the journal."""
    return sum(path.stat().st_size for path in folder.glob(".*.journal"))
