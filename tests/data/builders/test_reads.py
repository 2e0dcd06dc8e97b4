"""Reads of genomes, compared with windows cut one by one."""

import gzip

import numpy as np
import pytest
import tensorflow_datasets as tfds

from genomenet.data import building, recipes, sources

LENGTH = 20


class Reads(recipes.LabelledReads, skip_registration=True):
    """Two species; the one has two chromosomes, the other a validation strain."""

    CLASSES = ("one", "two")
    LENGTH = LENGTH
    READS = {"train": 30, "validation": 4, "test": 10}  # noqa: RUF012
    GENOMES = {  # noqa: RUF012
        "NC_1.1": recipes.Genome(label="one", split="train", validation=0.1),
        "NC_2.1": recipes.Genome(label="one", split="train", validation=0.1),
        "NC_3.1": recipes.Genome(label="one", split="test"),
        "NC_4.2": recipes.Genome(label="two", split="train"),
        "NC_5.1": recipes.Genome(label="two", split="validation"),
        "NC_6.1": recipes.Genome(label="two", split="test"),
    }


GENOMES = {
    name: "".join(np.random.default_rng(i).choice(list("ACGT"), 400 + 50 * i))
    for i, name in enumerate(Reads.GENOMES)
}
GENOMES["NC_2.1"] = GENOMES["NC_2.1"][:100] + "NRN" + GENOMES["NC_2.1"][103:]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "genomes"
    folder.mkdir()
    text = "".join(f">{name} some strain\n{GENOMES[name]}\n" for name in GENOMES)
    first, second, rest = text.partition(">NC_3.1")
    first = first.replace(">NC_1.1", ">gi|1|ref|NC_1.1|")
    (folder / "a.fa").write_text(first)
    (folder / "b.fna.gz").write_bytes(gzip.compress((second + rest).encode()))
    (folder / "other.fa").write_text(f">NC_4.1\n{GENOMES['NC_4.2']}\n>X\nACGT\n")
    (folder / "broken.fa").write_text("no FASTA\n")
    (folder / "notes.txt").write_text(">NC_1.1\nACGT\n")
    return folder


def build(folder, root):
    return building.prepare(
        "reads",
        lambda data_dir: Reads(data_dir=data_dir),
        data_dir=root,
        manual_dir=folder,
        show_progress=False,
    )[0]


def windows(label, split):
    """All windows of a class and a split, one by one."""
    for name, genome in Reads.GENOMES.items():
        length = len(GENOMES[name])
        border = length - int(length * genome.validation)
        for start in range(length - LENGTH + 1):
            end = start + LENGTH
            if split == "validation" and genome.validation:
                is_there = start >= border
            else:
                is_there = genome.split == split and end <= border
            sequence = GENOMES[name][start:end]
            if genome.label == label and is_there and not set("NR") & set(sequence):
                yield f"{name}:{start}-{end}", sequence, label


def test_every_kth_window_is_a_read(folder, tmp_path):
    path = build(folder, tmp_path / "data")
    builder = tfds.builder_from_directory(path)
    classes = builder.info.features["label"].names
    every = building.metadata(path)["every"]
    for split, count in Reads.READS.items():
        expected = set()
        for label in Reads.CLASSES:
            found = list(windows(label, split))
            k = len(found) // count
            assert every[label][split] == k
            expected |= set(found[::k][:count])
        built = {
            (e["id"].decode(), e["sequence"].decode(), classes[e["label"]])
            for e in builder.as_dataset(split=split).as_numpy_iterator()
        }
        assert built == expected
        assert len(built) == 2 * count
    facts = building.metadata(path)
    assert [source["file"] for source in facts["sources"]] == ["a.fa", "b.fna.gz"]
    assert facts["genomes"]["NC_4.2"]["label"] == "two"


def test_missing_genomes_are_named(folder, tmp_path):
    (folder / "b.fna.gz").unlink()
    expected = "no sequence with NC_3.1, NC_4.2, NC_5.1, NC_6.1 in its header"
    with pytest.raises(sources.DatasetError, match=expected):
        build(folder, tmp_path / "data")


def test_a_genome_that_is_there_twice(folder, tmp_path):
    (folder / "other.fa").write_text(">gi|2|ref|NC_1.1| again\nACGT\n")
    with pytest.raises(
        sources.DatasetError, match="other.fa: NC_1.1 .* also in .*a.fa"
    ):
        build(folder, tmp_path / "data")


def test_a_genome_of_another_length(folder, tmp_path, monkeypatch):
    genome = recipes.Genome(label="one", split="test", length=501)
    monkeypatch.setitem(Reads.GENOMES, "NC_3.1", genome)
    with pytest.raises(sources.DatasetError, match="NC_3.1 has 500 bases, not 501"):
        build(folder, tmp_path / "data")


def test_more_reads_than_windows(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(Reads.READS, "test", 500)
    expected = "481 windows of class .one. for test.* 500 reads"
    with pytest.raises(sources.DatasetError, match=expected):
        build(folder, tmp_path / "data")


def test_genomes_are_downloaded_one_by_one(folder, tmp_path):
    class Downloads:
        def download(self, url):
            assert url.startswith("https://eutils.ncbi.nlm.nih.gov/")
            (name,) = [name for name in GENOMES if f"&id={name}&" in url]
            path = tmp_path / f"efetch{name}"
            path.write_text(f">{name} strain\n{GENOMES[name]}\n")
            return path

    builder = Reads(data_dir=tmp_path / "data")
    builder.MANUAL_FILES = ()
    assert len(builder.files(Downloads())) == len(Reads.GENOMES)
