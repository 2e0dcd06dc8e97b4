"""What the commands that train share."""

import pathlib

from genomenet.training import command


def test_the_release_has_the_name_of_the_run(tmp_path, monkeypatch):
    assert command.release_folder("runs/a") == pathlib.Path("runs/a/export/a")
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert command.release_folder(".") == pathlib.Path("export/mine")
    assert command.release_folder("..").name == tmp_path.name
