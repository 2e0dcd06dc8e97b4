"""The recipe for genomes, through TFDS and back."""

import collections
import itertools
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from genomenet.data import building, recipes, sources
from genomenet.dna import reader


def letters(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.fixture
def fasta(tmp_path):
    """Two contigs of 6 kb, one with a gap and one in lower case."""
    a = "NNN" + letters(2_997) + "N" * 150 + letters(2_850, 1)
    path = tmp_path / "x.fa"
    path.write_text(f">a\n{a}\n>b\n{letters(6_000, 2).lower()}\n>c\n{'N' * 200}\n")
    return path


def build(paths, root, *, name="mine", overwrite=False, **options):
    options.setdefault("chunk_length", 200)
    return building.prepare(
        name,
        lambda data_dir: recipes.GenomeChunks(
            name=name, sources=paths, data_dir=data_dir, **options
        ),
        data_dir=root,
        overwrite=overwrite,
        show_progress=False,
    )[0]


def read(path):
    builder = tfds.builder_from_directory(path)
    return {
        split: sorted(
            (e["contig"].decode(), int(e["start"]), e["sequence"].decode())
            for e in builder.as_dataset(split=split).as_numpy_iterator()
        )
        for split in builder.info.splits
    }


def test_a_genome_comes_back_base_by_base(fasta, tmp_path):
    path = build([fasta], tmp_path)
    texts = {r.name: r for r in reader.read(fasta)}
    covered = collections.Counter()
    for chunk in (c for split in read(path).values() for c in split):
        contig, start, sequence = chunk
        codes = texts[contig].codes[start : start + len(sequence)]
        assert sequence == "".join("ACGTN"[code] for code in codes)
        covered[contig] += len(sequence)
    assert covered == {"a": 2_997 + 2_850, "b": 6_000}


def test_features_and_metadata(fasta, tmp_path):
    path = build([fasta], tmp_path, seed=7)
    info = tfds.builder_from_directory(path).info
    assert isinstance(info.features["sequence"], tfds.features.Text)
    assert isinstance(info.features["contig"], tfds.features.Text)
    assert info.features["start"].np_dtype == np.int64
    assert list(info.splits) == ["train", "validation", "test"]
    facts = building.metadata(path)
    assert facts == info.metadata
    assert facts["chunk_length"] == 200
    assert facts["min_length"] == 100
    assert facts["splits"] == "90/5/5"
    assert facts["seed"] == 7
    assert facts["records"] == 3
    assert facts["contigs"] == 2
    assert sum(facts["bases"].values()) == 11_847
    assert facts["skipped"]["all_n"] == 1
    assert facts["skipped"]["n_bases"] == 353
    assert facts["sources"][0]["file"] == "x.fa"


def test_no_file_holds_a_path_of_the_machine(fasta, tmp_path):
    path = build([fasta], tmp_path)
    for file in path.glob("*.json"):
        assert str(tmp_path) not in file.read_text()
        assert "incomplete" not in file.read_text()


def test_every_split_has_sixteen_shards(tmp_path):
    fasta = tmp_path / "x.fa"
    fasta.write_text(f">a\n{letters(80_000)}\n")
    path = build([fasta], tmp_path)
    info = json.loads((path / "dataset_info.json").read_text())
    for split in info["splits"]:
        assert len(split["shardLengths"]) == 16
        assert min(map(int, split["shardLengths"])) >= 1
    assert len(list(path.glob("*.tfrecord-*"))) == 48


def test_plain_tfds_writes_sixteen_shards_too(fasta, tmp_path):
    builder = recipes.GenomeChunks(
        name="mine", sources=[fasta], data_dir=tmp_path, chunk_length=100
    )
    builder.download_and_prepare()
    assert builder.info.splits["train"].num_shards == 16
    assert builder.info.splits["test"].num_shards == 6  # of six chunks
    assert building.find("mine", tmp_path) == tmp_path / "mine" / "1.0.0"


def test_two_builds_are_the_same_byte_by_byte(fasta, tmp_path):
    one = build([fasta], tmp_path / "1")
    two = build([fasta], tmp_path / "2")
    files = sorted(p.name for p in one.iterdir())
    assert files == sorted(p.name for p in two.iterdir())
    for name in files:
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_seeds_and_splits_matter(fasta, tmp_path):
    one = read(build([fasta], tmp_path / "1"))
    two = read(build([fasta], tmp_path / "2", seed=2))
    whole = read(build([fasta], tmp_path / "3", splits="100"))
    assert one["test"] != two["test"]
    assert list(whole) == ["train"]
    for built in one, two:
        assert whole["train"] == sorted(itertools.chain(*built.values()))


def test_standard_input_is_a_file_like_any_other(fasta, tmp_path, monkeypatch):
    with fasta.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        piped = build(["-"], tmp_path / "in")
    assert read(piped) == read(build([fasta], tmp_path / "file"))
    assert building.metadata(piped)["sources"] == [{"file": "<stdin>"}]
    with pytest.raises(sources.DatasetError, match="than those on standard input"):
        build(["-"], tmp_path / "in")


@pytest.mark.slow
def test_a_reader_needs_nothing_of_ours(fasta, tmp_path):
    path = build([fasta], tmp_path)
    code = """
import sys
import tensorflow_datasets as tfds
builder = tfds.builder_from_directory(sys.argv[1])
examples = list(builder.as_dataset(split="train").as_numpy_iterator())
assert set(examples[0]) == {"sequence", "contig", "start"}
assert not [name for name in sys.modules if name.startswith("genomenet")]
print(len(examples), builder.info.metadata["chunk_length"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": ""},
    )
    assert done.stdout.split() == [str(len(read(path)["train"])), "200"]


def test_builders_can_be_pickled(fasta, tmp_path):
    builder = recipes.GenomeChunks(
        name="mine", sources=[fasta], data_dir=tmp_path, chunk_length=300, seed=4
    )
    copy = pickle.loads(pickle.dumps(builder))
    assert copy.name == "mine"
    assert copy.options == builder.options
    assert copy.identity() == builder.identity()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"chunk_length": 50}, "chunk_length=50 is shorter than min_length=100"),
        ({"min_length": 0}, "min_length=0 is under one base"),
        ({"splits": "1/2"}, "splits=1/2 adds up to 3"),
    ],
)
def test_options_that_make_no_sense_are_refused(fasta, tmp_path, options, expected):
    with pytest.raises(sources.DatasetError, match=expected):
        build([fasta], tmp_path, **options)
    assert not (tmp_path / "mine").exists()
