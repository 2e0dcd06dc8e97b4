"""The catalogue as TFDS sees it."""

import sys

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import registered

from genomenet.data import building, catalogue, sources
from genomenet.data.builders import genome_chunks


@pytest.fixture
def registry():
    yield
    registered.reset_dataset_builder_providers()
    catalogue.register.cache_clear()


def test_tfds_knows_the_catalogue(registry, tmp_path):
    catalogue.register()
    catalogue.register()
    builder = tfds.builder("ecoli_k12", data_dir=tmp_path)
    assert builder.name == "ecoli_k12"
    assert builder.data_dir == str(tmp_path / "ecoli_k12" / "1.0.0")
    assert "K-12" in builder.info.description
    assert "blattner" in builder.info.citation
    with pytest.raises(registered.DatasetNotFoundError):
        tfds.builder("no_such_dataset_at_all")


def test_options_reach_the_recipe(tmp_path):
    builder = catalogue.builder("ecoli_k12", tmp_path, chunk_length=500, seed=3)
    assert builder.options["chunk_length"] == 500
    assert catalogue.builder("ecoli_k12", tmp_path).options == {
        "chunk_length": 8_192,
        "min_length": 100,
        "splits": "90/5/5",
        "seed": 0,
    }


def test_ecoli_is_prepared_whole(tmp_path):
    path = catalogue.prepare("ecoli_k12", tmp_path, progress=False)
    assert path == tmp_path / "ecoli_k12" / "1.0.0"
    assert catalogue.find("ecoli_k12", tmp_path) == path
    facts = building.metadata(path)
    assert sum(facts["bases"].values()) == 4_639_675
    info = tfds.builder_from_directory(path).info
    assert {split.num_shards for split in info.splits.values()} == {16}
    before = {p: p.stat().st_mtime_ns for p in path.iterdir()}
    assert catalogue.prepare("ecoli_k12", tmp_path) == path
    assert before == {p: p.stat().st_mtime_ns for p in path.iterdir()}


def test_a_recipe_may_lie_anywhere(tmp_path):
    folder = tmp_path / "yeast"
    folder.mkdir()
    (folder / "yeast_dataset_builder.py").write_text(
        "from genomenet.data import recipes\n\n\n"
        "class Builder(recipes.GenomeChunks):\n"
        '    """A test."""\n\n'
        "    def _sources(self, dl_manager):\n"
        '        return [self.pkg_dir_path / "g.fa"]\n'
    )
    (folder / "g.fa").write_text(">a\n" + "ACGTTGCAAC" * 20_000 + "\n")
    path = catalogue.prepare(str(folder), tmp_path / "data", progress=False)
    assert path == tmp_path / "data" / "yeast" / "1.0.0"
    assert issubclass(catalogue.builder_class(str(folder)), genome_chunks.GenomeChunks)


def test_a_broken_recipe_is_not_remembered(tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "broken_dataset_builder.py").write_text("raise RuntimeError('no')\n")
    with pytest.raises(RuntimeError, match="no"):
        catalogue.builder_class(str(folder))
    assert "broken_dataset_builder" not in sys.modules


def test_an_unknown_name_is_an_error():
    with pytest.raises(sources.DatasetError, match="ecoli_k13.*did you mean ecoli_k12"):
        catalogue.prepare("ecoli_k13")
