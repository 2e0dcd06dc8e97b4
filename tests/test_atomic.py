"""Files and folders that appear whole or not at all."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from genomenet import atomic
from tests import processes


def test_files_and_folders_are_replaced(tmp_path):
    atomic.write_text(tmp_path / "new" / "x.txt", "1")
    atomic.write_text(tmp_path / "new" / "x.txt", "2")
    assert (tmp_path / "new" / "x.txt").read_text() == "2"
    for text in ("1", "2"):
        with atomic.replacing(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / text).write_text(text)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["2"]
    assert len(list(tmp_path.iterdir())) == 2


def test_what_fails_leaves_no_new_folder(tmp_path):
    def fail(name):
        with atomic.replacing(tmp_path / name) as partial:
            partial.write_text("2")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail("new/folder/x.txt")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old").mkdir()
    with pytest.raises(ValueError, match="stop"):
        fail("old/x.txt")
    assert (tmp_path / "old").is_dir()


def test_what_fails_leaves_all_as_it_was(tmp_path):
    atomic.write_text(tmp_path / "x.txt", "1")

    def fail():
        with atomic.replacing(tmp_path / "x.txt") as partial:
            partial.write_text("2")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert (tmp_path / "x.txt").read_text() == "1"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_told_with_the_file(tmp_path):
    path = tmp_path / "x.npz"
    full = pytest.raises(OSError, match=r"No space left on device: .*x\.npz")
    with full, atomic.replacing(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_no_file_replaces_a_folder(tmp_path):
    (tmp_path / "x.tsv").mkdir()
    (tmp_path / "x.tsv" / "mine").write_text("1")
    with pytest.raises(IsADirectoryError, match=r"x.tsv is a folder: choose another"):
        atomic.write_text(tmp_path / "x.tsv", "2")
    assert (tmp_path / "x.tsv" / "mine").read_text() == "1"
    assert len(list(tmp_path.iterdir())) == 1


def test_two_that_write_the_same_do_not_mix(tmp_path):
    path = tmp_path / "x.txt"
    with atomic.replacing(path) as first:
        first.write_text("first")
        with atomic.replacing(path) as second:
            assert second != first
            second.write_text("second")
        assert path.read_text() == "second"
        assert first.read_text() == "first"
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["x.txt"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_an_old_folder_is_there_until_the_new_one_is(
    tmp_path, monkeypatch, can_exchange
):
    if not can_exchange:
        monkeypatch.setattr(atomic.ctypes, "CDLL", lambda *a, **k: object())
    for text in ("1", "2"):
        with atomic.replacing(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / text).write_text(text)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["2"]
    assert os.listdir(tmp_path) == ["folder"]


def test_leftovers_of_the_dead_are_removed_and_of_the_living_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = [
        f".x.txt.partial-{host}-{process}-0"
        for host, process in (
            (atomic._HOST, dead.pid),
            (atomic._HOST, os.getpid()),
            ("elsewhere", dead.pid),
        )
    ]
    for name in names:
        (tmp_path / name).write_text("1")
    atomic.write_text(tmp_path / "x.txt", "2")
    assert sorted(os.listdir(tmp_path)) == sorted([*names[1:], "x.txt"])


def test_long_names_have_temporary_ones(tmp_path):
    atomic.write_text(tmp_path / ("x" * 250), "1")
    assert os.listdir(tmp_path) == ["x" * 250]


def test_an_old_folder_that_a_killed_process_moved_aside_is_put_back(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mark = f"{atomic._HOST}-{dead.pid}-0"
    aside = tmp_path / f".folder.replaced-{mark}"
    aside.mkdir()
    (aside / "mine").write_text("1")
    (tmp_path / f".folder.partial-{mark}").mkdir()
    (tmp_path / "folder.old").mkdir()
    with pytest.raises(ValueError, match="stop"), atomic.replacing(tmp_path / "folder"):
        raise ValueError("stop")
    assert sorted(os.listdir(tmp_path)) == ["folder", "folder.old"]
    assert (tmp_path / "folder" / "mine").read_text() == "1"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_removes_what_is_half_written_whatever_catches_it(tmp_path, name):
    code = f"""
import contextlib, signal, sys
from genomenet import atomic
with atomic.replacing("x") as file, atomic.replacing("folder") as folder:
    file.write_text("half")
    folder.mkdir()
    (folder / "y").write_text("half")
    inside = atomic.replacing(folder / "z")
    inside.__enter__().write_text("half")
    with contextlib.suppress(BaseException):
        signal.raise_signal(signal.{name})
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        preexec_fn=processes.take_signals,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (-getattr(signal, name), b"")
    assert os.listdir(tmp_path) == []
