import numpy as np
from Bio import Seq

from genomenet.data import examples, mirrored
from genomenet.evaluation import report

RNG = np.random.default_rng(0)
SEQUENCES = ["".join(RNG.choice(list("ACGT"), 40)) for _ in range(60)]


def read(tmp_path, rows):
    path = tmp_path / "train.tsv"
    path.write_text("sequence\tlabel\n" + "".join(f"{s}\t{c}\n" for s, c in rows))
    return examples.read_tables({"train": str(path)})


def turn(sequence):
    return str(Seq.Seq(sequence).reverse_complement())


def test_classes_of_opposite_strands_are_found(tmp_path):
    rows = [(s, "plus") for s in SEQUENCES] + [(turn(s), "minus") for s in SEQUENCES]
    rows += [(s[::-1], "other") for s in SEQUENCES]
    data = read(tmp_path, rows)
    assert mirrored.pairs(data) == [("minus", "plus", 1.0)]
    assert any(
        "'minus' and 'plus' are each other's" in x for x in report.describe(data)
    )


def test_other_classes_are_not(tmp_path):
    rows = [(s, str(i % 2)) for i, s in enumerate(SEQUENCES)]
    rows += [(turn(s), c) for s, c in rows]  # both strands have one label
    assert mirrored.pairs(read(tmp_path, rows)) == []


def test_numbers_have_no_classes(tmp_path):
    rows = [(s, f"{i}.5") for i, s in enumerate(SEQUENCES)]
    assert mirrored.pairs(read(tmp_path, rows)) == []
