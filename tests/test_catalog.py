import pathlib

import pytest

from genomenet import catalog


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A checkout with one model and one dataset; returns its package folder."""
    (tmp_path / "genomenet").mkdir()
    _add_model(tmp_path / "models" / "small")
    (tmp_path / "models" / "notes").mkdir()
    _add_dataset(tmp_path / "datasets" / "yeast")
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "genomenet")
    monkeypatch.chdir(tmp_path / "genomenet")
    return tmp_path / "genomenet"


def _add_model(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")


def _add_dataset(folder):
    folder.mkdir(parents=True)
    (folder / f"{folder.name}_dataset_builder.py").touch()


def test_a_checkout_reads_the_folders_at_its_root(package):
    assert catalog.model_names() == ["small"]
    assert catalog.dataset_names() == ["yeast"]
    assert catalog.model_folder("small") == package.parent / "models" / "small"
    assert catalog.dataset_folder("yeast") == package.parent / "datasets" / "yeast"


def test_an_installed_wheel_reads_its_own_copies_only(package):
    """A `models/` beside the package is then somebody else's package."""
    _add_model(package / "_models" / "packed")
    _add_dataset(package / "_datasets" / "fly")
    assert catalog.model_names() == ["packed"]
    assert catalog.dataset_folder("fly") == package / "_datasets" / "fly"


def test_missing_catalogues_are_empty(package, monkeypatch):
    monkeypatch.setattr(catalog, "_PACKAGE", package / "nowhere" / "genomenet")
    assert catalog.model_names() == []
    with pytest.raises(ValueError, match="known: none"):
        catalog.dataset_folder("yeast")


def test_a_path_is_taken_as_it_stands(package):
    _add_model(package / "runs" / "mine")
    assert catalog.model_folder("runs/mine") == pathlib.Path("runs/mine")
    assert catalog.model_folder(package / "runs" / "mine") == package / "runs" / "mine"
    assert catalog.model_folder(pathlib.Path("runs/mine")) == pathlib.Path("runs/mine")


def test_a_name_wins_over_a_folder_here_unless_it_is_written_as_a_path(package):
    _add_model(package / "small")
    _add_model(package / "other")
    assert catalog.model_folder("small") == package.parent / "models" / "small"
    assert catalog.model_folder("./small") == pathlib.Path("small")
    assert catalog.model_folder(pathlib.Path("small")) == pathlib.Path("small")
    assert catalog.model_folder("other") == pathlib.Path("other")


def test_a_dataset_is_found_from_within_its_folder(package, monkeypatch):
    monkeypatch.chdir(package.parent / "datasets" / "yeast")
    assert catalog.dataset_folder(".") == pathlib.Path()


def test_an_unknown_name_lists_the_known_and_the_close(package):
    with pytest.raises(
        ValueError, match="no model 'smal'; did you mean small\\? known: small"
    ):
        catalog.model_folder("smal")
    with pytest.raises(ValueError, match="no dataset 'human'; known: yeast"):
        catalog.dataset_folder("human")
    with pytest.raises(ValueError, match="no model ''; known: small"):
        catalog.model_folder("")


def test_a_wrong_path_says_what_is_missing(package):
    with pytest.raises(ValueError, match="no model folder runs/none"):
        catalog.model_folder("runs/none")
    with pytest.raises(ValueError, match="notes is not a model: it has no config.json"):
        catalog.model_folder("../models/notes")
    with pytest.raises(ValueError, match="has no notes_dataset_builder.py"):
        catalog.dataset_folder("../models/notes")


def test_a_file_is_not_the_folder_of_a_dataset(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(">a\nACGT\n")
    with pytest.raises(ValueError, match=r"genome.fa is a file, .* as fasta$"):
        catalog.dataset_folder(str(path))


def test_this_repository_has_its_catalogues():
    assert "selfgenomenet" in catalog.model_names()


def test_a_replaced_model_is_its_successor_and_said_once(package, monkeypatch, capsys):
    monkeypatch.setattr(catalog, "_SUCCESSORS", {"older": "small"})
    catalog._successor.cache_clear()
    for _ in range(2):
        found = catalog.model_folder("older")
        assert found == package.parent / "models" / "small"
    assert capsys.readouterr().err == "the model older was replaced by small\n"
    assert "older" not in catalog.model_names()


def test_successors_are_there():
    assert set(catalog._SUCCESSORS.values()) <= set(catalog.model_names())
    assert not set(catalog._SUCCESSORS) & set(catalog.model_names())
