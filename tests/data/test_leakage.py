"""Contigs that are in a genome more than once."""

import numpy as np
import pytest

from genomenet.data import genome_index, leakage
from genomenet.dna import encode

SHARES = {"train": 80, "validation": 10, "test": 10}


def letters(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def reverse(text):
    return encode.decode(encode.reverse_complement(encode.encode(text))).decode()


def same(text):
    return text


def plan(folder, records, *, chunk_length=200, seed=0):
    """Returns the split of every base of every record, the facts and the notes."""
    path = folder / "x.fa"
    path.write_text("".join(f">{name}\n{text}\n" for name, text in records.items()))
    index = genome_index.index([str(path)], min_length=50)
    units = genome_index.plan(
        index.contigs,
        shares=SHARES,
        chunk_length=chunk_length,
        min_length=50,
        seed=seed,
    )
    splits = {name: np.full(len(text), "", object) for name, text in records.items()}
    for split, part in units.items():
        for unit in part:
            for start, end in unit.pieces:
                assert unit.start <= start < end <= unit.end
                assert (splits[unit.contig][start:end] == "").all()
                splits[unit.contig][start:end] = split
    facts = leakage.facts(index.contigs, units, index.words)
    return splits, facts, leakage.notes(facts)


@pytest.mark.parametrize("turn", [same, reverse, str.lower])
@pytest.mark.parametrize("count", [50, 6])
def test_identical_contigs_are_in_one_split(tmp_path, turn, count):
    """As whole contigs, and as blocks of few contigs."""
    one = {f"a{n}": letters(2_000, n) for n in range(count)}
    for n in range(0, count, 3):
        one[f"a{n}"] = one[f"a{n}"][:900] + "N" * 150 + one[f"a{n}"][900:]
    other = {f"b{n}": "NN" * n + turn(one[f"a{n}"]) for n in range(count)}
    splits, facts, notes = plan(tmp_path, one | other)
    for n in range(count):
        expected, found = splits[f"a{n}"], splits[f"b{n}"][2 * n :]
        assert (expected == (found[::-1] if turn is reverse else found)).all()
    assert {s for part in splits.values() for s in part} - {""} == set(SHARES)
    assert facts["identical_contigs"] == count
    assert facts["alike"]["units"] == 0
    assert notes == [
        f"note: {count} contigs repeat another (on either strand); copies are in"
        " one split, 0 are in several splits"
    ]


def test_splits_of_copies_know_neither_names_nor_order(tmp_path):
    texts = [letters(2_001, n) for n in range(10)]
    texts += [reverse(text) for text in texts]
    one, _, _ = plan(tmp_path, {f"r{n}": text for n, text in enumerate(texts)})
    turned = dict(enumerate(texts[::-1]))
    two, _, _ = plan(tmp_path, {f"other{n}": text for n, text in turned.items()})
    for n in range(20):
        assert (one[f"r{n}"] == two[f"other{19 - n}"]).all()


def test_other_contigs_keep_their_splits(tmp_path):
    """A genome without copies is divided as it always was."""
    records = {f"c{n}": letters(1_000, n) for n in range(45)}
    splits, facts, notes = plan(tmp_path, records)
    held_out = sorted(name for name, part in splits.items() if part[0] != "train")
    assert held_out == ["c12", "c18", "c22", "c25", "c27", "c43", "c5", "c8"]
    assert facts == {"identical_contigs": 0, "alike": {"units": 0, "bases": 0}}
    assert notes == []


@pytest.mark.parametrize("turn", [same, reverse])
def test_a_contig_within_another_is_told(tmp_path, turn):
    records = {f"c{n}": letters(4_000, n) for n in range(45)}
    splits, _, _ = plan(tmp_path, records)
    held_out = next(name for name, part in splits.items() if part[0] == "test")
    taught = next(name for name, part in splits.items() if part[0] == "train")
    records[held_out] = turn(records[taught][500:3_500])
    records = {name: records[name] for name in sorted(records)}
    splits, facts, notes = plan(tmp_path, records)
    assert splits[held_out][0] != splits[taught][0] == "train"
    assert facts["identical_contigs"] == 0
    alike = facts["alike"]
    assert (alike["units"], alike["bases"], alike["share"]) == (1, 3_000, 1)
    assert (alike["held_out"], alike["train"]) == (held_out, taught)
    assert len(notes) == 1
    assert "1 held-out part (3,000 bases) nearly repeats" in notes[0]
    assert f"{held_out} and {taught}, 100%" in notes[0]


def test_two_assemblies_of_one_strain_are_told(tmp_path):
    one = letters(100_000)
    rng = np.random.default_rng(1)
    two = np.array(list(one))
    two[rng.random(two.size) < 0.003] = "A"
    _, facts, notes = plan(tmp_path, {"one": one, "two": reverse("".join(two))})
    assert facts["alike"]["units"] >= 5
    assert facts["alike"]["share"] > 0.8
    assert "one:" in notes[0]
    assert "two:" in notes[0]
