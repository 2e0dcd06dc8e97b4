"""Files and folders that appear whole or not at all."""

import errno
import os

import pytest

from genomenet import atomic


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
