"""Every folder of `datasets/` builds from its dummy data and has its texts."""

import dataclasses
import re

import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_metadata

from genomenet import catalog
from genomenet.data import building, catalogue, recipes
from genomenet.dna import reader

NAMES = catalog.dataset_names()


def accept_dummies(recipe, monkeypatch):
    """Has a recipe take other data than the real ones; returns its options."""
    if issubclass(recipe, recipes.GenomeChunks):
        monkeypatch.setattr(recipe, "KNOWN", None)
        return {"chunk_length": 1_000}
    if issubclass(recipe, recipes.FewShot):
        monkeypatch.setattr(recipe, "CHECKS_COUNTS", False)
    if issubclass(recipe, recipes.LabelledReads):
        genomes = {
            name: dataclasses.replace(genome, length=None)
            for name, genome in recipe.GENOMES.items()
        }
        monkeypatch.setattr(recipe, "GENOMES", genomes)
        monkeypatch.setattr(recipe, "READS", dict.fromkeys(recipe.READS, 20))
    return {}


@pytest.mark.parametrize("name", NAMES)
def test_it_builds_from_its_dummy_data(name, tmp_path, monkeypatch):
    recipe = catalogue.builder_class(name)
    options = accept_dummies(recipe, monkeypatch)
    folder = catalog.dataset_folder(name) / "dummy_data"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert sum(file.stat().st_size for file in files) < 120_000
    path, _ = building.prepare(
        name,
        lambda data_dir: recipe(sources=files, data_dir=data_dir, **options),
        data_dir=tmp_path,
        show_progress=False,
    )
    info = tfds.builder_from_directory(path).info
    assert info.name == name
    expected = ["train", "validation", "test"]
    if issubclass(recipe, recipes.FewShot):
        expected = ["train", "test", "train_10", "train_50"]
    assert list(info.splits) == expected
    assert info.description.strip() == readme(name).strip()
    seen = set()
    for split in set(info.splits) - set(building.metadata(path).get("copies", {})):
        dataset = tfds.builder_from_directory(path).as_dataset(split=split)
        examples = {example["sequence"] for example in dataset.as_numpy_iterator()}
        assert examples
        assert not examples & seen
        assert all(re.fullmatch(b"[ACGTN]+", sequence) for sequence in examples)
        seen |= examples


@pytest.mark.parametrize("name", NAMES)
def test_it_has_its_texts(name):
    folder = catalog.dataset_folder(name)
    assert len(readme(name)) > 200
    assert re.match(r"@\w+{", (folder / "CITATIONS.bib").read_text())
    tags = dataset_metadata.load(catalogue.builder_class(name).pkg_dir_path).tags
    assert tags
    assert set(tags) <= set(dataset_metadata.valid_tags())
    for line in (folder / "checksums.tsv").read_text().splitlines():
        url, size, sha256, file = line.split("\t")
        assert url.startswith("https://")
        assert int(size) > 0
        assert re.fullmatch("[0-9a-f]{64}", sha256)
        assert file


def readme(name):
    return (catalog.dataset_folder(name) / "README.md").read_text()


def test_every_folder_is_listed():
    listed = (catalog.datasets_root() / "README.md").read_text()
    for name in NAMES:
        assert f"| `{name}` |" in listed


def test_human_chromosomes_are_told_apart_by_their_lengths():
    known = catalogue.builder_class("human_grch38").KNOWN
    assert len(known) == 24
    assert len({one.length for one in known.values()}) == 24
    assert sum(one.length for one in known.values()) == 3_088_269_832


def test_the_wrong_chromosome_is_refused(tmp_path):
    (tmp_path / "chr20.fa").write_text(">chr20\n" + "ACGT" * 100 + "\n")
    with pytest.raises(ValueError, match=r"chr20 \(63,025,520 bases\) not among 1 rec"):
        catalogue.prepare(
            "human_grch37_chr20", tmp_path / "data", tmp_path, progress=False
        )


def test_the_embedded_genome_is_what_the_readme_says():
    folder = catalog.dataset_folder("ecoli_k12")
    (record,) = reader.read(folder / "genome.fa.gz")
    assert record.codes.size == 4_639_675
    assert f"{record.codes.size:,}" in readme("ecoli_k12")
    assert record.name in readme("ecoli_k12")


def test_the_strains_of_the_bacteria_have_roles_of_their_own():
    recipe = catalogue.builder_class("bacteria_reads")
    for species in recipe.CLASSES:
        strains = [g for g in recipe.GENOMES.values() if g.label == species]
        assert {"train", "test"} <= {genome.split for genome in strains}
        assert any(g.split == "validation" or g.validation for g in strains)
        assert all(not g.validation for g in strains if g.split != "train")
    for accession in recipe.GENOMES:
        assert accession in readme("bacteria_reads")
