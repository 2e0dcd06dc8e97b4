"""Whole datasets or none: existing, failing, killed and parallel builds."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from genomenet import atomic
from genomenet.data import building, recipes, sources
from genomenet.dna import reader
from tests import processes


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "x.fa"
    path.write_text(">a\n" + "ACGTTGCAAC" * 500 + "\n")
    return path


def build(paths, root, *, overwrite=False, **options):
    options.setdefault("chunk_length", 200)
    return building.prepare(
        "mine",
        lambda d: recipes.GenomeChunks(
            name="mine", sources=paths, data_dir=d, **options
        ),
        data_dir=root,
        overwrite=overwrite,
        show_progress=False,
    )


def state(folder):
    return {
        p.relative_to(folder): (p.stat().st_mtime_ns, p.read_bytes())
        for p in sorted(pathlib.Path(folder).rglob("*"))
        if p.is_file()
    }


def test_a_dataset_that_is_there_is_taken_as_it_is(fasta, tmp_path):
    path, is_new = build([fasta], tmp_path / "data")
    before = state(tmp_path / "data")
    assert is_new
    assert path == tmp_path / "data" / "mine" / "1.0.0"
    assert build([fasta], tmp_path / "data") == (path, False)
    assert state(tmp_path / "data") == before


def test_nothing_is_left_beside_a_dataset(fasta, tmp_path):
    build([fasta], tmp_path / "data")
    assert os.listdir(tmp_path / "data") == ["mine"]
    assert os.listdir(tmp_path / "data" / "mine") == ["1.0.0"]


def test_another_dataset_of_the_name_is_refused(fasta, tmp_path):
    build([fasta], tmp_path / "data")
    before = state(tmp_path / "data")
    with pytest.raises(sources.DatasetError) as error:
        build([fasta], tmp_path / "data", chunk_length=300, seed=1)
    assert "chunk_length 200, now 300, seed 0, now 1" in str(error.value)
    assert "overwrite" in str(error.value)
    assert "name" in str(error.value)
    other = tmp_path / "y.fa"
    other.write_text(">a\n" + "ACGTTGCAAG" * 500 + "\n")
    with pytest.raises(sources.DatasetError, match="other source files"):
        build([other], tmp_path / "data")
    assert state(tmp_path / "data") == before


def test_a_dataset_of_another_program_is_refused(fasta, tmp_path):
    folder = tmp_path / "data" / "mine" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    with pytest.raises(sources.DatasetError, match="1.0.0 exists already"):
        build([fasta], tmp_path / "data")


def test_overwriting_replaces(fasta, tmp_path):
    path, _ = build([fasta], tmp_path / "data")
    again, is_new = build([fasta], tmp_path / "data", overwrite=True, chunk_length=300)
    assert (again, is_new) == (path, True)
    assert building.metadata(path)["chunk_length"] == 300
    assert os.listdir(tmp_path / "data" / "mine") == ["1.0.0"]


def test_the_old_dataset_stays_if_the_new_one_fails(fasta, tmp_path):
    build([fasta], tmp_path / "data")
    before = state(tmp_path / "data")
    broken = tmp_path / "broken.fa"
    broken.write_text(fasta.read_text() + ">b\nMKV!LL\n")
    with pytest.raises(reader.SequenceFileError, match="broken.fa"):
        build([broken], tmp_path / "data", overwrite=True)
    assert state(tmp_path / "data") == before


def test_a_failed_build_leaves_nothing(tmp_path):
    broken = tmp_path / "broken.fa"
    broken.write_text(">b\nNNNN\n")
    with pytest.raises(sources.DatasetError, match="nothing to build"):
        build([broken], tmp_path / "data")
    assert os.listdir(tmp_path / "data") == []


def test_an_interrupted_build_leaves_nothing(fasta, tmp_path, monkeypatch):
    def interrupted(*args):
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes.GenomeChunks, "_generate_examples", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build([fasta], tmp_path / "data")
    assert building.find("mine", tmp_path / "data") is None
    assert os.listdir(tmp_path / "data") == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("ResourceExhaustedError: .incomplete/x; No space left on device"),
        PermissionError(errno.EACCES, "Permission denied", "data/mine/.incomplete/x"),
    ],
)
def test_what_cannot_be_written_is_named(fasta, tmp_path, monkeypatch, error):
    def failing(*args):
        if isinstance(error, OSError) and error.filename:
            error.filename = str(tmp_path / error.filename)
        yield from ()
        raise error

    monkeypatch.setattr(recipes.GenomeChunks, "_generate_examples", failing)
    with pytest.raises(OSError, match="No space left|Permission denied") as found:
        build([fasta], tmp_path / "data")
    assert found.value.filename == str(tmp_path / "data" / "mine" / "1.0.0")
    assert "incomplete" not in str(found.value)
    assert os.listdir(tmp_path / "data") == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_stopped_command_leaves_nothing(tmp_path, number):
    data, pipe = tmp_path / "data", tmp_path / "x.fa"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "genomenet.build_dataset", f"--fasta={pipe}"]
    with subprocess.Popen(
        [*command, "--name=mine", f"--data_dir={data}"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=processes.take_signals,
    ) as process:
        with pipe.open("w") as file:
            file.write(">a\nACGT\n")
            file.flush()
            time.sleep(0.5)  # it waits for more
            assert set(os.listdir(data / "mine")) == {".incomplete", ".lock"}
            process.send_signal(number)
            process.wait()
        assert "nothing was kept" in process.stderr.read()
    assert process.returncode == 128 + number
    assert os.listdir(data) == []


def test_a_killed_build_leaves_nothing_that_looks_finished(fasta, tmp_path):
    code = """
import sys, time
from genomenet.data import building, genome_index, recipes
whole = genome_index.examples
def slow(*args, **kwargs):
    for number, item in enumerate(whole(*args, **kwargs)):
        if number == 3:
            print("writing", flush=True)
            time.sleep(60)
        yield item
genome_index.examples = slow
building.prepare("mine", lambda d: recipes.GenomeChunks(name="mine",
    sources=[sys.argv[1]], data_dir=d, chunk_length=200), data_dir=sys.argv[2],
    show_progress=False)
"""
    data = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", code, fasta, data], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "writing\n"
        with pytest.raises(sources.DatasetError, match="built by another process"):
            build([fasta], data)
        process.send_signal(signal.SIGKILL)
    assert set(os.listdir(data / "mine")) == {".incomplete", ".lock"}
    assert building.find("mine", data) is None
    path, is_new = build([fasta], data)
    assert is_new
    assert os.listdir(data / "mine") == ["1.0.0"]
    assert building.find("mine", data) == path


def test_a_second_build_of_the_name_is_refused(fasta, tmp_path):
    folder = tmp_path / "data" / "mine"
    folder.mkdir(parents=True)
    with (folder / ".lock").open("a") as handle:
        assert atomic.lock(handle)
        with pytest.raises(sources.DatasetError, match="built by another process"):
            build([fasta], tmp_path / "data")
    assert build([fasta], tmp_path / "data")[1]


def test_finding_is_quick_and_takes_the_newest(tmp_path):
    for version in ("1.0.0", "1.10.0", "1.9.0", "2.0.0", "incomplete.X_3.0.0"):
        folder = tmp_path / "mine" / version
        folder.mkdir(parents=True)
        if version != "2.0.0":
            (folder / "dataset_info.json").write_text("{}")
    newest = tmp_path / "mine" / "1.10.0"
    assert building.find("mine", tmp_path) == newest
    assert building.find(str(tmp_path / "mine")) == newest
    assert building.find(str(newest)) == newest
    assert building.find(newest) == newest
    assert building.find("other", tmp_path) is None
    assert building.find(tmp_path / "other") is None


def test_the_default_folder_is_that_of_tfds(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert building.default_data_dir() == tmp_path
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert building.default_data_dir() == tmp_path / "tensorflow_datasets"


def test_finding_imports_neither_tfds_nor_tensorflow(tmp_path):
    code = (
        "import sys; from genomenet.data import catalogue;"
        f"assert catalogue.find('x', {str(tmp_path)!r}) is None;"
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["Mine", "1x", "a-b", "a/b", "ä", "", "_a", "a b"])
def test_names_that_tfds_does_not_take_are_refused(fasta, tmp_path, name):
    with pytest.raises(sources.DatasetError, match="lower-case letters, digits"):
        building.check_name(name)


def test_odd_folders_are_refused(fasta, tmp_path):
    def make(data_dir):
        return recipes.GenomeChunks(name="mine", sources=[fasta], data_dir=data_dir)

    with pytest.raises(sources.DatasetError, match="manual_dir=.*none is not"):
        building.prepare("mine", make, data_dir=tmp_path, manual_dir=tmp_path / "none")
    with pytest.raises(sources.DatasetError, match="use a mounted folder"):
        building.prepare("mine", make, data_dir="gs://bucket/data")


def test_beam_is_asked_for_where_it_is_missing(fasta, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam.options", None)
    with pytest.raises(sources.DatasetError, match=r"pip install 'genomenet\[beam\]'"):
        building.prepare(
            "mine",
            lambda d: recipes.GenomeChunks(name="mine", sources=[fasta], data_dir=d),
            data_dir=tmp_path / "data",
            beam_options="--runner=DirectRunner",
        )
