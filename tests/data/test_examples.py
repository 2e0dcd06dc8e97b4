import numpy as np
import pytest
from Bio import Seq

from genomenet.data import building, examples, sources, tasks
from genomenet.data.builders import labelled_sequences
from genomenet.dna import encode

RNG = np.random.default_rng(0)
SEQUENCES = ["".join(RNG.choice(list("ACGTN"), n)) for n in RNG.integers(5, 30, 60)]


def write(path, rows, header="sequence\tlabel"):
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n")
    return str(path)


def table(tmp_path, names=("no", "yes"), name="t.tsv"):
    rows = [(s, names[i % len(names)]) for i, s in enumerate(SEQUENCES)]
    return write(tmp_path / name, rows)


def letters(found):
    return [encode.decode(found[i]).decode() for i in range(len(found))]


def test_one_table_is_divided(tmp_path):
    data = examples.read_tables({"train": table(tmp_path)})
    assert data.task == tasks.Task(kind="binary", classes=("no", "yes"))
    assert {k: len(v) for k, v in data.splits.items()} == {
        "train": 48,
        "validation": 6,
        "test": 6,
    }
    found = [text for split in data.splits.values() for text in letters(split)]
    assert sorted(found) == sorted(SEQUENCES)
    assert repr(data) == (
        "t.tsv: binary of 2 classes; 48 train, 6 validation, 6 test sequences of 5 to"
        " 29 bases"
    )
    assert repr(data["train"].take([0, 0])).startswith("Examples(2 sequences of ")
    assert repr(data["train"].take([])) == "Examples(0 sequences of 0 to 0 bases)"
    again = examples.read_tables({"train": table(tmp_path)}, seed=1)
    assert letters(again["test"]) != letters(data["test"])


def test_a_column_names_the_splits(tmp_path):
    rows = [
        (s, str(i % 2), ("train", "test")[i % 3 == 0]) for i, s in enumerate(SEQUENCES)
    ]
    path = write(tmp_path / "t.tsv", rows, "sequence\tlabel\tsplit")
    data = examples.read_tables({"train": path})
    assert set(data.splits) == {"train", "test"}
    assert letters(data["test"]) == SEQUENCES[::3]


def test_labels_and_padding(tmp_path):
    path = table(tmp_path, names=("b", "a", "c"))
    data = examples.read_tables({"train": path, "test": path})
    assert data.task.classes == ("a", "b", "c")
    assert data["test"].labels.tolist() == [1, 0, 2] * 20
    rows = data["test"].padded(40)
    assert rows.shape == (60, 40)
    for row, text in zip(rows, SEQUENCES, strict=True):
        assert encode.decode(row[row < 5]).decode() == text
        assert (row[len(text) :] == 5).all()


def test_several_labels_and_numbers(tmp_path):
    rows = [(s, "x;y" if i % 2 else "x") for i, s in enumerate(SEQUENCES)]
    data = examples.read_tables({"train": write(tmp_path / "a.tsv", rows)})
    assert data.task.kind == "multi_label"
    assert data["train"].labels.shape == (48, 2)
    rows = [(s, f"{i / 7:.3f}") for i, s in enumerate(SEQUENCES)]
    data = examples.read_tables({"train": write(tmp_path / "b.tsv", rows)})
    assert data.task.kind == "regression"
    assert data["train"].labels.dtype == np.float32


@pytest.mark.parametrize("quote", ["", '"'])
def test_sequences_written_as_kmers_are_joined(tmp_path, quote):
    rows = []
    for i, s in enumerate(SEQUENCES):
        words = " ".join(s[j : j + 3] for j in range(len(s) - 2))
        rows.append((f"{quote}{words}{quote}", str(i % 2)))
    path = write(tmp_path / "t.tsv", rows, f"{quote}sequence{quote}\tlabel")
    assert (
        letters(examples.read_tables({"train": path, "test": path})["test"])
        == SEQUENCES
    )


def test_a_label_that_training_lacks_is_named(tmp_path):
    train = table(tmp_path)
    test = write(tmp_path / "test.tsv", [("ACGTACGT", "maybe")])
    with pytest.raises(sources.DatasetError, match=r"test.tsv: line 2: label 'maybe'"):
        examples.read_tables({"train": train, "test": test})


def test_a_class_of_one_row_is_known_wherever_it_went(tmp_path):
    found = []
    for count in range(20, 40):
        rows = [(s, str(2 * (i % 2))) for i, s in enumerate(SEQUENCES[:count])]
        path = write(tmp_path / "t.tsv", [*rows, ("ACGTACGTAC", "1")])
        found.append(examples.read_tables({"train": path}))
    assert {data.task.classes for data in found} == {("0", "1", "2")}
    assert {int((data["train"].labels == 1).sum()) for data in found} == {0, 1}


def test_rows_of_another_split_are_not_learnt_from(tmp_path):
    rows = [(s, str(i % 2), ("train", "test")[i == 7]) for i, s in enumerate(SEQUENCES)]
    train = write(tmp_path / "t.tsv", rows, "sequence\tlabel\tsplit")
    test = table(tmp_path, names=("0", "1"), name="test.tsv")
    with pytest.raises(sources.DatasetError, match=r"t.tsv: line 9: its split is test"):
        examples.read_tables({"train": train, "test": test})
    rows[7] = (*rows[7][:2], "Train")
    train = write(tmp_path / "t.tsv", rows, "sequence\tlabel\tsplit")
    assert len(examples.read_tables({"train": train, "test": test})["train"]) == 60


def test_a_row_may_have_none_of_several_labels(tmp_path):
    path = table(tmp_path, names=("a;b", "a", ""))
    data = examples.read_tables({"train": path, "test": path})
    assert data.task == tasks.Task(kind="multi_label", classes=("a", "b"))
    assert data["test"].labels[:3].tolist() == [[1, 1], [1, 0], [0, 0]]
    path = table(tmp_path, names=("b", "a", ""))
    with pytest.raises(sources.DatasetError, match=r"t.tsv: line 4: empty label"):
        examples.read_tables({"train": path})


def test_contradictions_see_the_other_strand(tmp_path):
    rows = [(s, str(i % 2)) for i, s in enumerate(SEQUENCES)]
    train = write(tmp_path / "train.tsv", rows)
    assert examples.contradictions(examples.read_tables({"train": train})) == 0
    turned = str(Seq.Seq(SEQUENCES[0]).reverse_complement())
    test = write(tmp_path / "test.tsv", [(turned, "1"), rows[1], (turned, "0")])
    data = examples.read_tables({"train": train, "test": test})
    assert examples.contradictions(data) == 1


def test_an_empty_table_is_named(tmp_path):
    path = write(tmp_path / "empty.tsv", [])
    with pytest.raises(sources.DatasetError, match=r"empty.tsv: no rows"):
        examples.read_tables({"train": path})


def test_shots_are_balanced_and_seeded(tmp_path):
    data = examples.read_tables({"train": table(tmp_path)})
    found = examples.draw_shots(data["train"], data.task, 5, seed=0)
    assert np.bincount(found.labels).tolist() == [5, 5]
    again = examples.draw_shots(data["train"], data.task, 5, seed=0)
    other = examples.draw_shots(data["train"], data.task, 5, seed=1)
    assert found.ids == again.ids != other.ids
    with pytest.raises(sources.DatasetError, match=r"'no' has 24 .* shots=25"):
        examples.draw_shots(data["train"], data.task, 25, seed=0)


def test_fractions_are_stratified_and_nested(tmp_path):
    data = examples.read_tables({"train": table(tmp_path, names=("a", "a", "b"))})
    small, large = (
        examples.draw_fraction(data["train"], data.task, share, seed=3)
        for share in (0.25, 0.5)
    )
    assert np.bincount(small.labels).tolist() == [8, 4]
    assert set(small.ids) < set(large.ids)
    one = examples.draw_fraction(data["train"], data.task, 1e-6, seed=3)
    assert np.bincount(one.labels).tolist() == [1, 1]
    for share in (0, 1.5):
        with pytest.raises(sources.DatasetError, match=f"label_fraction={share}"):
            examples.draw_fraction(data["train"], data.task, share, seed=3)


def test_class_weights_balance(tmp_path):
    data = examples.read_tables({"train": table(tmp_path, names=("a", "a", "b"))})
    weights = examples.class_weights(data["train"], data.task)
    sums = [weights[data["train"].labels == n].sum() for n in (0, 1)]
    assert sums[0] == pytest.approx(sums[1])
    assert weights.mean() == pytest.approx(1)


def test_overlap_sees_the_other_strand(tmp_path):
    train = table(tmp_path)
    codes = encode.reverse_complement(encode.encode(SEQUENCES[3]))
    test = write(
        tmp_path / "test.tsv",
        [(SEQUENCES[0], "no"), (encode.decode(codes).decode(), "no"), ("ACGT", "yes")],
    )
    data = examples.read_tables({"train": train, "test": test})
    assert examples.overlap(data) == {"test": 2}


def test_a_prepared_dataset_is_the_same(tmp_path):
    path = table(tmp_path)
    directory, _ = building.prepare(
        "mine",
        lambda folder: labelled_sequences.LabelledSequences(
            name="mine", sources=[path], splits="80/10/10", data_dir=folder
        ),
        data_dir=tmp_path / "data",
        show_progress=False,
    )
    prepared = examples.read_prepared(directory)
    direct = examples.read_tables({"train": path})
    assert prepared.task == direct.task
    for split, found in direct.splits.items():
        assert sorted(letters(found)) == sorted(letters(prepared[split]))
    with pytest.raises(sources.DatasetError, match="no split 'train_10'"):
        examples.read_prepared(directory, train="train_10")
