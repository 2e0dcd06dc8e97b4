"""Commands as processes: interrupted, without streams, without a reader."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests import processes

ROOT = pathlib.Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


def start(command, folder, **streams):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, "-m", f"genomenet.{command[0]}", *command[1:]],
        cwd=folder,
        env=environment,
        preexec_fn=processes.take_signals,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )


@pytest.fixture
def genome(tmp_path):
    (tmp_path / "work").mkdir()
    path = tmp_path / "work" / "genome.fa"
    path.write_text(f">a\n{'ACGTTGCATT' * 200_000}\n")
    return path


EMBED = ["embed", "--model=selfgenomenet_chr20", "--input=genome.fa"]


@pytest.mark.parametrize("seconds", [0.1, 0.4, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("name", ["embed", "find_motifs"])
def test_an_interrupt_at_any_moment_is_one_line(genome, seconds, name):
    command = {
        "embed": [*EMBED, "--output=x.parquet"],
        "find_motifs": ["find_motifs", "--input=genome.fa", "--output=motifs"],
    }[name]
    process = start(command, genome.parent)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    if seconds > 0.3:  # before, Python itself is starting
        assert b"Traceback" not in errors
        assert process.returncode in (1, 130, -signal.SIGINT)
    assert os.listdir(genome.parent) == ["genome.fa"]


def test_an_interrupt_that_an_import_would_swallow_is_not_lost(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass
except BaseException:
    pass
"""
    )
    code = """
from genomenet import startup
startup.begin()
startup.load_tensorflow()
print("it went on")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        preexec_fn=processes.take_signals,
        timeout=60,
    )
    assert done.returncode == -signal.SIGINT
    assert (done.stdout, done.stderr) == (b"", b"interrupted\n")


def test_an_interrupt_that_a_library_swallows_ends_the_process_all_the_same(tmp_path):
    code = """
import os, signal, time
from genomenet import atomic, startup
startup._PATIENCE = 0.5
startup.begin()
with startup.refusing("test"), atomic.replacing("x.txt") as partial:
    partial.write_text("half")
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except BaseException:
        pass
    time.sleep(60)
    print("it went on")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        preexec_fn=processes.take_signals,
        timeout=60,
    )
    assert done.returncode == 128 + signal.SIGINT
    assert (done.stdout, done.stderr) == (b"", b"interrupted\n")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_python_calls_are_quiet(tmp_path):
    code = """
import genomenet
model = genomenet.load_model("logo6_genemask_human")
print(model.embed(["ACGTACGTACGT"]).shape)
"""
    environment = dict(os.environ)
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("(1, 256)\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("is_there", "error"),
    [
        (True, "ValueError: this needs KERAS_BACKEND=tensorflow, not jax"),
        (False, "ImportError: genomenet.saturation_mutagenesis needs TensorFlow"),
    ],
)
def test_what_needs_tensorflow_says_so(is_there, error):
    code = f"""
import sys
if not {is_there}: sys.modules["tensorflow"] = None
import genomenet
options = dict(classes=["no", "yes"])
model = genomenet.Classifier.from_preset("selfgenomenet_chr20", **options)
genomenet.saturation_mutagenesis(model, "ACGTTGCA" * 6)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.stderr.splitlines()[-1] == error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_partial_file(genome, number):
    process = start([*EMBED, "--output=x.parquet"], genome.parent)
    deadline = time.monotonic() + 60
    while len(os.listdir(genome.parent)) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (128 + number, -number)
    assert b"Traceback" not in errors
    # What was computed stays for the same command, which goes on with it.
    assert set(os.listdir(genome.parent)) <= {"genome.fa", ".x.parquet.journal"}


def test_what_a_killed_process_left_is_removed_by_the_next(genome):
    short = genome.with_name("short.fa")
    short.write_text(f">a\n{'ACGTTGCATT' * 40}\n")
    process = start([*EMBED, "--output=x.parquet"], genome.parent)
    while len(os.listdir(genome.parent)) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert len(os.listdir(genome.parent)) == 3
    command = [*EMBED[:2], "--input=short.fa", "--output=x.parquet"]
    process = start(command, genome.parent)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert sorted(os.listdir(genome.parent)) == ["genome.fa", "short.fa", "x.parquet"]


@pytest.mark.parametrize("closing", ["2>&-", ">&-", "2>&- >&-", "<&-"])
def test_closed_streams_change_nothing(genome, closing):
    genome.write_text(f">a\n{'ACGTTGCATT' * 40}\n")
    command = " ".join([sys.executable, "-m", "genomenet.embed", *EMBED[1:]])
    done = subprocess.run(
        f"{command} --output=x.parquet {closing}",
        shell=True,
        cwd=genome.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert (genome.parent / "x.parquet").stat().st_size > 1000


def test_a_reader_that_goes_away_changes_nothing(genome):
    genome.write_text(f">a\n{'ACGTTGCATT' * 4000}\n")
    read, write = os.pipe()
    command = [*EMBED, "--output=x.parquet"]
    process = start(command, genome.parent, stdout=write, stderr=write)
    os.close(write)
    os.close(read)
    assert process.wait(timeout=120) == 0
    assert (genome.parent / "x.parquet").stat().st_size > 1000


@pytest.mark.parametrize(("stream", "code"), [("2>/dev/full", 0), (">/dev/full", 1)])
def test_a_full_stream_is_one_line_or_nothing(genome, stream, code):
    genome.write_text(f">a\n{'ACGTTGCATT' * 400}\n")
    done = subprocess.run(
        f"{sys.executable} -m genomenet.rank_kmers --fasta=genome.fa --k=3"
        f" --min_count=1 --output=x.csv {stream}",
        shell=True,
        cwd=genome.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert (genome.parent / "x.csv").exists()


def test_control_characters_of_file_names_are_shown_escaped(tmp_path):
    process = start(["embed", "--model=logo6", "--input=\x1b[31mred.fa"], tmp_path)
    output, errors = process.communicate(timeout=60)
    assert b"\x1b" not in output + errors
    process = start(
        ["rank_kmers", "--counts=\x1b[31mred.tsv", "--k=3", "--output=x.csv"], tmp_path
    )
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"\\x1b[31mred.tsv" in errors
    assert b"\x1b" not in output + errors
