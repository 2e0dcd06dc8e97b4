"""What all recipes share: sources, and a network that is not there."""

import pathlib

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import downloader
from tensorflow_datasets.core.utils import tqdm_utils

from genomenet.data import building, recipes, sources


class Fetched(recipes.GenomeChunks, skip_registration=True):
    """A recipe with a download."""

    MANUAL_FILES = recipes.SEQUENCE_FILES
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Fetch it by hand."

    def _sources(self, dl_manager):
        return [dl_manager.download("http://localhost:1/genome.fa")]


class Bare(recipes.GenomeChunks, skip_registration=True):
    """A recipe without any source."""


def build(recipe, tmp_path, **kwargs):
    return building.prepare(
        recipe.name,
        lambda data_dir: recipe(data_dir=data_dir, chunk_length=200),
        data_dir=tmp_path / "data",
        show_progress=False,
        **kwargs,
    )[0]


def test_a_failed_download_is_one_line_with_advice(tmp_path, monkeypatch):
    monkeypatch.setattr(downloader, "MAX_RETRIES", 0)
    with pytest.raises(sources.DatasetError) as error:
        build(Fetched, tmp_path)
    assert "fetched: the download failed:" in str(error.value)
    assert "localhost" in str(error.value)
    assert str(error.value).endswith("Fetch it by hand.")
    assert "\n" not in str(error.value)
    assert building.find("fetched", tmp_path / "data") is None


def test_files_of_the_manual_folder_come_first(tmp_path):
    folder = tmp_path / "manual"
    folder.mkdir()
    (folder / "README.md").write_text("not a sequence")
    (folder / "g.fna").write_text(">a\n" + "ACGTTGCAAC" * 500 + "\n")
    path = build(Fetched, tmp_path, manual_dir=folder)
    assert building.metadata(path)["sources"][0]["file"] == "g.fna"


def test_no_source_at_all(tmp_path):
    with pytest.raises(sources.DatasetError, match="bare: no source files"):
        build(Bare, tmp_path)


def test_tfds_keeps_its_bars_and_retries(tmp_path, monkeypatch):
    monkeypatch.setattr(tqdm_utils, "_active", True)
    retries = downloader.MAX_RETRIES
    with pytest.raises(sources.DatasetError):
        build(Bare, tmp_path)
    assert tqdm_utils._active
    assert retries == downloader.MAX_RETRIES


def test_recipes_know_their_folder():
    assert Fetched.code_path == pathlib.Path(__file__)
    assert Fetched.pkg_dir_path == pathlib.Path(__file__).parent
    assert issubclass(Fetched, tfds.core.GeneratorBasedBuilder)
