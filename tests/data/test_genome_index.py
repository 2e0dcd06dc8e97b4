"""From sequence files to chunks, without TFDS."""

import io

import numpy as np
import pytest

from genomenet.data import genome_index, sources
from genomenet.dna import encode, reader

SHARES = {"train": 80, "validation": 10, "test": 10}


def letters(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def write(path, **records):
    path.write_text("".join(f">{name}\n{text}\n" for name, text in records.items()))
    return str(path)


def build(paths, *, chunk_length=100, min_length=20, seed=0, shares=SHARES):
    spool = io.BytesIO()
    index = genome_index.index(paths, min_length=min_length, spool=spool)
    options = {"chunk_length": chunk_length, "min_length": min_length}
    units = genome_index.plan(index.contigs, shares=shares, seed=seed, **options)
    return index, {
        split: list(genome_index.examples(part, index.offsets, spool, **options))
        for split, part in units.items()
    }


def test_every_usable_base_is_in_one_chunk_of_one_split(tmp_path):
    texts = {
        "a": "N" * 30 + letters(3_000) + "N" * 200 + letters(1_001, 1),
        "b": letters(1_500, 2).lower() + "RYK" + "N" * 101 + "ACGT" * 4,
        "c": letters(2_000, 3),
    }
    index, built = build([write(tmp_path / "x.fa", **texts)])
    covered = {name: np.zeros(len(text), int) for name, text in texts.items()}
    for key, example in (e for split in built.values() for e in split):
        contig, start = example["contig"], example["start"]
        end = start + len(example["sequence"])
        assert key == f"{contig}:{start}"
        covered[contig][start:end] += 1
        expected = encode.decode(encode.encode(texts[contig][start:end]))
        assert example["sequence"] == expected
        assert len(example["sequence"]) <= 100
    expected = {name: np.ones(len(text), int) for name, text in texts.items()}
    expected["a"][:30] = expected["a"][3_030:3_230] = 0
    expected["b"][1_500:] = 0  # a long run of N, then a piece under 20 bases
    for name in texts:
        np.testing.assert_array_equal(covered[name], expected[name])
    assert index.skipped.short_pieces == 1
    assert index.skipped.n_bases == 334


def test_no_two_splits_share_a_unit(tmp_path):
    text = letters(20_000)
    _, built = build([write(tmp_path / "x.fa", a=text)])
    owner = np.empty(20_000, object)
    for split, examples in built.items():
        for _, example in examples:
            start = example["start"]
            owner[start : start + len(example["sequence"])] = split
    changes = np.count_nonzero(owner[1:] != owner[:-1])
    assert changes <= 2 * 20  # blocks of 200 bases, not single chunks


def test_examples_read_anew_are_the_same(tmp_path):
    path = write(tmp_path / "x.fa", a=letters(5_000), b="NN" + letters(3_000, 1))
    index, built = build([path])
    units = genome_index.plan(
        index.contigs, shares=SHARES, chunk_length=100, min_length=20, seed=0
    )
    for split, part in units.items():
        of_record = {name: [u for u in part if u.contig == name] for name in "ab"}
        again = genome_index.read_examples(
            path, of_record, chunk_length=100, min_length=20
        )
        assert sorted(again, key=str) == sorted(built[split], key=str)


def test_nothing_usable_is_one_error_with_all_reasons(tmp_path):
    path = write(tmp_path / "x.fa", a="N" * 50, b="N" * 9, c="ACGTACGT", d="NACN")
    with pytest.raises(sources.DatasetError) as error:
        genome_index.index([path], min_length=10)
    assert str(error.value) == (
        f"{path}: nothing to build from 4 records: 2 all N, 2 shorter than "
        "min_length=10 between long runs of N (longest stretch: 8 bases)"
    )


@pytest.mark.parametrize("length", [150, 450, 700])
def test_too_few_units_name_options_that_work(tmp_path, length):
    path = write(tmp_path / "x.fa", a=letters(length))
    with pytest.raises(sources.DatasetError) as error:
        build([path], chunk_length=1_000, min_length=20)
    message = str(error.value)
    assert "too few for 3 splits" in message
    assert "every split needs one" in message
    if "chunk_length=" in message.split("use ")[1]:
        shorter = int(message.split("use chunk_length=")[1].split()[0])
        assert all(build([path], chunk_length=shorter)[1].values())
    else:
        assert length == 150
    splits = sources.parse_splits(message.split("splits=")[1])
    assert all(build([path], chunk_length=1_000, shares=splits)[1].values())


def test_names_are_unique_over_all_files(tmp_path):
    a = write(tmp_path / "a.fa", x=letters(200))
    b = write(tmp_path / "b.fa", x=letters(200, 1))
    with pytest.raises(reader.SequenceFileError, match="b.fa.*'x'.*used before"):
        genome_index.index([a, b], min_length=20)
