"""The recipe for labelled sequences, through TFDS and back."""

import itertools
import pickle

import numpy as np
import pytest
import tensorflow_datasets as tfds

from genomenet.data import building, recipes, sources


def letters(length, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def table(path, found, **columns):
    """Writes a table with one row a label."""
    lines = ["\t".join(["sequence", "label", *columns])]
    for i, label in enumerate(found):
        extra = [values[i] for values in columns.values()]
        lines.append("\t".join([letters(20 + i % 3, i), str(label), *extra]))
    path.write_text("\n".join(lines) + "\n")
    return path


def make(given, **options):
    return lambda data_dir: recipes.LabelledSequences(
        name="mine", sources=given, data_dir=data_dir, **options
    )


def build(given, root, **options):
    return building.prepare(
        "mine", make(given, **options), data_dir=root, show_progress=False
    )[0]


def read(path):
    builder = tfds.builder_from_directory(path)
    return {
        split: list(builder.as_dataset(split=split).as_numpy_iterator())
        for split in builder.info.splits
    }, builder.info.features["label"]


def test_classes(tmp_path):
    found = ["no", "yes", "maybe"] * 10
    path = build([table(tmp_path / "x.tsv", found)], tmp_path)
    built, label = read(path)
    assert isinstance(label, tfds.features.ClassLabel)
    assert label.names == ["maybe", "no", "yes"]
    assert set(built) == {"train", "validation", "test"}
    examples = list(itertools.chain(*built.values()))
    assert len(examples) == 30
    for example in examples:
        line = int(example["id"].decode().removeprefix("x.tsv:"))
        assert example["sequence"].decode() == letters(20 + (line - 2) % 3, line - 2)
        assert label.names[example["label"]] == found[line - 2]
    facts = building.metadata(path)
    assert facts["task"] == "multiclass"
    assert facts["classes"] == ["maybe", "no", "yes"]
    assert facts["rows"] == 30
    assert sum(facts["labels"]["train"].values()) == len(built["train"])


def test_numbers(tmp_path):
    built, label = read(build([table(tmp_path / "x.tsv", [0.5, 1, -2, 4])], tmp_path))
    assert label.np_dtype == np.float32
    found = sorted(float(e["label"]) for e in itertools.chain(*built.values()))
    assert found == [-2, 0.5, 1, 4]


def test_several_labels(tmp_path):
    found = ["a;c", "b", "c;b;a", "a"]
    built, label = read(build([table(tmp_path / "x.tsv", found)], tmp_path))
    assert label.shape == (3,)
    assert label.np_dtype == np.uint8
    rows = {e["id"]: e["label"].tolist() for e in itertools.chain(*built.values())}
    assert [rows[f"x.tsv:{i}".encode()] for i in range(2, 6)] == [
        [1, 0, 1],
        [0, 1, 0],
        [1, 1, 1],
        [1, 0, 0],
    ]
    assert building.metadata(tmp_path / "mine" / "1.0.0")["classes"] == ["a", "b", "c"]


def test_no_label_is_no_class_where_several_are_possible(tmp_path):
    path = table(tmp_path / "x.tsv", ["a;b", "", "b"])
    built, _ = read(build([path], tmp_path, task="multi_label"))
    found = [e["label"].tolist() for e in itertools.chain(*built.values())]
    assert sorted(found) == [[0, 0], [0, 1], [1, 1]]


def test_one_file_a_class(tmp_path):
    for name in ("a", "b"):
        records = [f">{name}{i}\n{letters(30, ord(name) + 9 * i)}" for i in range(5)]
        (tmp_path / f"{name}.fa").write_text("\n".join(records) + "\n")
    given = {"pos": [tmp_path / "a.fa"], "neg": [tmp_path / "b.fa"]}
    built, label = read(build(given, tmp_path, splits="60/20/20"))
    assert label.names == ["neg", "pos"]
    for example in itertools.chain(*built.values()):
        assert label.names[example["label"]] == (
            "pos" if example["id"].startswith(b"a") else "neg"
        )


def test_files_of_swapped_classes_are_another_dataset(tmp_path):
    for name in ("a", "b"):
        records = [f">{i}\n{letters(30, ord(name) + 9 * i)}" for i in range(5)]
        (tmp_path / f"{name}.fa").write_text("\n".join(records) + "\n")
    a, b = [tmp_path / "a.fa"], [tmp_path / "b.fa"]
    build({"pos": a, "neg": b}, tmp_path)
    build({"pos": a, "neg": b}, tmp_path)
    with pytest.raises(sources.DatasetError, match="other source files"):
        build({"neg": a, "pos": b}, tmp_path)


def test_splits_of_the_table_are_kept(tmp_path):
    splits = ["train", "val", "train", "dev", "train"]
    path = table(tmp_path / "x.tsv", ["a", "b"] * 2 + ["a"], split=splits)
    built, _ = read(build([path], tmp_path))
    assert {name: len(part) for name, part in built.items()} == {
        "train": 3,
        "validation": 2,
    }


def test_errors_come_before_anything_is_written(tmp_path):
    path = table(tmp_path / "x.tsv", ["1.5", "2", "high"])
    with pytest.raises(sources.DatasetError, match="x.tsv: line 4: label 'high' is no"):
        build([path], tmp_path / "data", task="regression")
    assert not list((tmp_path / "data").iterdir())
    with pytest.raises(sources.DatasetError, match="task=x is none of auto, binary"):
        build([path], tmp_path / "data", task="x")
    (tmp_path / "y.tsv").write_text("sequence\tlabel\n")
    with pytest.raises(sources.DatasetError, match="y.tsv: no rows"):
        build([tmp_path / "y.tsv"], tmp_path / "data")


def test_the_same_table_is_taken_as_it_is(tmp_path):
    path = table(tmp_path / "x.tsv", ["a", "b"] * 3)
    build([path], tmp_path)
    again = building.prepare("mine", make([path]), data_dir=tmp_path)
    assert again == (tmp_path / "mine" / "1.0.0", False)
    table(path, ["b", "a"] * 3)
    with pytest.raises(sources.DatasetError, match="other source files"):
        build([path], tmp_path)


def test_builders_can_be_pickled(tmp_path):
    path = table(tmp_path / "x.tsv", ["a", "b"])
    builder = make([path], seed=3)(tmp_path)
    copy = pickle.loads(pickle.dumps(builder))
    assert copy.identity() == builder.identity()
