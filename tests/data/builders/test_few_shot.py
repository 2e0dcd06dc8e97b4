"""The recipe for few-shot tasks: its splits, its files, and what it refuses."""

import pickle

import numpy as np
import pytest
import tensorflow_datasets as tfds

from genomenet.data import building, recipes, sources


class Task(recipes.FewShot, skip_registration=True):
    """A task with two published training sets."""

    FOLDER = "Task"
    CLASSES = ("0", "1")
    SHOTS = {2: 2, 3: 4}  # noqa: RUF012
    TEST = {"0": 1, "1": 2}  # noqa: RUF012


def letters(seed, length=20):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def write(path, rows, quote=""):
    path.parent.mkdir(exist_ok=True, parents=True)
    lines = [f"{quote}sequence{quote}\t{quote}label{quote}"]
    for sequence, label in rows:
        kmers = " ".join(sequence[i : i + 6] for i in range(len(sequence) - 5))
        lines.append(f"{quote}{kmers}{quote}\t{label}")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    """A task as it is published; the test set shares its first sequence."""
    folder = tmp_path / "task"
    rows = [(letters(i), i % 2) for i in range(15)]
    write(folder / "2" / "train.tsv", rows[:4], quote='"')
    write(folder / "3" / "train.tsv", rows[4:12], quote='"')
    write(folder / "test.tsv", [(letters(5), 1), rows[12], rows[13]])
    write(folder / "full" / "train.tsv", rows)
    (folder / "full" / "dev.tsv").write_text("not to be read")
    return folder


def build(folder, root):
    return building.prepare(
        "task",
        lambda data_dir: Task(data_dir=data_dir),
        data_dir=root,
        manual_dir=folder,
        show_progress=False,
    )[0]


def read(path, split):
    dataset = tfds.builder_from_directory(path).as_dataset(split=split)
    return {
        example["id"].decode(): (example["sequence"].decode(), int(example["label"]))
        for example in dataset.as_numpy_iterator()
    }


def test_each_published_set_is_a_split(folder, tmp_path):
    path = build(folder, tmp_path / "data")
    splits = tfds.builder_from_directory(path).info.splits
    assert list(splits) == ["train", "test", "train_2", "train_3"]
    assert read(path, "train_2") == {
        f"train_2:{i + 2}": (letters(i), i % 2) for i in range(4)
    }
    assert read(path, "train") == read(path, "train_3")
    assert set(read(path, "test")) == {"test:2", "test:3", "test:4"}
    facts = building.metadata(path)
    assert facts["rows"] == 15
    assert facts["copies"] == {"train": "train_3"}
    assert facts["absent"] == []
    assert facts["test_sequences_in"] == {"train_2": 0, "train_3": 1}
    assert facts["in_several_splits"] == 1
    assert facts["labels"]["train_3"] == facts["labels"]["train"] == {"0": 4, "1": 4}
    assert len(facts["sources"]) == 3


def test_a_training_set_may_be_absent(folder, tmp_path):
    (folder / "3" / "train.tsv").unlink()
    path = build(folder, tmp_path / "data")
    assert building.metadata(path)["absent"] == ["train_3"]
    assert building.metadata(path)["copies"] == {"train": "train_2"}
    assert read(path, "train") == read(path, "train_2")


@pytest.mark.parametrize("gone", ["test.tsv", "?/train.tsv"])
def test_a_test_set_and_a_training_set_are_needed(folder, tmp_path, gone):
    for path in folder.glob(gone):
        path.unlink()
    with pytest.raises(sources.DatasetError, match="need one test.tsv and at least"):
        build(folder, tmp_path / "data")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("3/train.tsv", "5 examples of class 0, not the 4 that were published"),
        ("test.tsv", "2 examples of class 0, not the 1 that were published"),
    ],
)
def test_other_numbers_of_examples_are_refused(folder, tmp_path, file, expected):
    with (folder / file).open("a") as text:
        text.write("AAAAAA AAAAAC\t0\n")
    with pytest.raises(sources.DatasetError) as error:
        build(folder, tmp_path / "data")
    assert str(error.value) == f"{folder / file}: {expected}"
    assert not list((tmp_path / "data").glob("*/*"))


def test_kmers_that_do_not_overlap_are_refused(folder, tmp_path):
    with (folder / "2" / "train.tsv").open("a") as text:
        text.write("AAAAAA CAAAAC\t0\n")
    expected = "2/train.tsv: line 6: 6-mers 1 and 2 do not overlap: AAAAAA CAAAAC"
    with pytest.raises(sources.DatasetError, match=expected):
        build(folder, tmp_path / "data")


class Downloads:
    """A manager of downloads under names that tell nothing."""

    def __init__(self, folder, target):
        target.mkdir()
        self.folder, self.target = folder, target
        self.urls = []

    def download(self, url):
        self.urls.append(url)
        path = self.target / f"download_{len(self.urls)}"
        path.write_bytes((self.folder / url.partition("/Task/")[2]).read_bytes())
        return path


def test_downloads_are_told_apart_by_their_addresses(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Task, "MANUAL_FILES", ())
    downloads = Downloads(folder, tmp_path / "downloads")
    builder = Task(data_dir=tmp_path / "data")
    paths = builder.files(downloads)
    assert len(downloads.urls) == 3
    assert all("/GeneMask/c76144613" in url for url in downloads.urls)
    rows = list(builder._rows(paths, may_lack_label=False))
    assert [row.split for row in rows] == (
        ["train_2"] * 4 + ["train_3"] * 8 + ["test"] * 3
    )


def test_builders_can_be_pickled(folder, tmp_path):
    files = sorted(folder.rglob("*.tsv"))
    builder = Task(sources=[f for f in files if "full" not in f.parts])
    copy = pickle.loads(pickle.dumps(builder))
    assert copy.identity() == builder.identity()
    assert len(copy.identity()["sources"]) == 3
