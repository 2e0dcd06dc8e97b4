"""Damaged, exchanged and hostile files of prepared datasets."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from genomenet.data import (
    building,
    catalogue,
    examples,
    integrity,
    kmer_ranking,
    recipes,
    shards,
    sources,
)

SHARD = "labelled-train.tfrecord-00003-of-00016"
AGAIN = "build the dataset again, with overwrite"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A dataset of labelled sequences, all of one length."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    with (folder / "x.tsv").open("w") as file:
        file.write("id\tsequence\tlabel\n")
        for number in range(200):
            bases = "".join(rng.choice(list("ACGT"), 100))
            file.write(f"{number:03d}\t{bases}\t{'ab'[number % 2]}\n")
    return building.prepare(
        "labelled",
        lambda root: recipes.LabelledSequences(
            name="labelled", sources=[folder / "x.tsv"], data_dir=root
        ),
        data_dir=folder,
        show_progress=False,
    )[0]


@pytest.fixture
def dataset(built, tmp_path):
    return pathlib.Path(shutil.copytree(built, tmp_path / "labelled"))


@pytest.fixture
def genome(tiny_genome, tmp_path):
    return pathlib.Path(shutil.copytree(tiny_genome, tmp_path / "genome"))


def make_older(folder):
    """Takes away what datasets from before the checksums do not have."""
    facts = json.loads((folder / "metadata.json").read_text())
    del facts["files"]
    facts.pop("digest", None)
    (folder / "packed.npz").unlink(missing_ok=True)
    (folder / "metadata.json").write_text(json.dumps(facts))


def records(path):
    """Returns the TFRecords of a file as they lie there."""
    data, found = path.read_bytes(), []
    while data:
        size = int.from_bytes(data[:8], "little") + 16
        found.append(data[:size])
        data = data[size:]
    return found


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:-50])


def cut_between_records(path):
    path.write_bytes(b"".join(records(path)[:-1]))


def cut_in_a_header(path):
    path.write_bytes(b"".join(records(path)[:-1]) + bytes([1, 0, 0]))


def repeat(path):
    found = records(path)
    path.write_bytes(b"".join([*found, found[0]]))


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"\0" * 7)


def exchange_with_test(path):
    other = path.with_name("labelled-test.tfrecord-00000-of-00010")
    shutil.copy(other, path)


@pytest.mark.parametrize("is_older", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        remove,
        empty,
        cut,
        cut_between_records,
        cut_in_a_header,
        repeat,
        lengthen,
        exchange_with_test,
    ],
)
def test_a_damaged_shard_is_named(dataset, damage, is_older):
    if is_older:
        make_older(dataset)
    integrity.check(dataset)
    damage(dataset / SHARD)
    with pytest.raises(sources.DatasetError) as error:
        integrity.check(dataset)
    assert str(error.value).startswith(f"{dataset / SHARD} ")
    assert str(error.value).endswith(AGAIN)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("is_older", [False, True])
def test_a_whole_dataset_is_read(dataset, is_older):
    if is_older:
        make_older(dataset)
    integrity.check(dataset, whole=True)
    assert len(examples.read_prepared(dataset)["train"]) == 180


def test_another_shard_of_the_same_size_is_noticed(dataset):
    one, other = dataset / SHARD, dataset / SHARD.replace("00003", "00004")
    assert one.stat().st_size == other.stat().st_size
    shutil.copy(other, one)
    with pytest.raises(
        sources.DatasetError, match=f"not what was built: .*{other.name}"
    ):
        integrity.check(dataset)


@pytest.mark.parametrize("name", ["label.labels.txt", "features.json"])
def test_small_files_are_checked_too(dataset, name):
    path = dataset / name
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(sources.DatasetError, match=f"{name} is damaged"):
        integrity.check(dataset)
    path.unlink()
    with pytest.raises(sources.DatasetError, match=f"{name} is missing"):
        integrity.check(dataset)


@pytest.mark.parametrize(
    "name", ["dataset_info.json", "features.json", "metadata.json"]
)
@pytest.mark.parametrize("content", ["", "{", "[]", "7", "[" * 100_000, "\udcff"])
def test_damaged_descriptions_name_the_file(dataset, name, content):
    make_older(dataset)
    (dataset / name).write_text(content, errors="surrogateescape")
    with pytest.raises(sources.DatasetError, match=name) as error:
        integrity.opened(dataset)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../other"},
        {"splits": 3},
        {"splits": [{}]},
        {"splits": [{"name": "train", "shardLengths": ["x"]}]},
        {"fileFormat": "array_record"},
        {"version": "x"},
        {"unknown": 1},
    ],
)
def test_descriptions_of_something_else_are_refused(dataset, change):
    make_older(dataset)
    info = json.loads((dataset / "dataset_info.json").read_text())
    (dataset / "dataset_info.json").write_text(json.dumps(info | change))
    with pytest.raises(sources.DatasetError, match=str(dataset)) as error:
        examples.read_prepared(dataset)
    assert "\n" not in str(error.value)


def test_files_elsewhere_are_not_read(dataset):
    make_older(dataset)
    info = json.loads((dataset / "dataset_info.json").read_text())
    shutil.copytree(dataset, dataset / "other")
    info["splits"][0]["filepathTemplate"] = "other/{DATASET}-{SPLIT}.{FILEFORMAT}"
    (dataset / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(sources.DatasetError, match="dataset_info.json"):
        examples.read_prepared(dataset)


def test_classes_need_their_names(dataset):
    make_older(dataset)
    (dataset / "label.labels.txt").unlink()
    with pytest.raises(sources.DatasetError, match="label.labels.txt is missing"):
        examples.read_prepared(dataset)


EVIL = "evil.Text"
NESTED = {"type": EVIL, "content": {}}


@pytest.mark.parametrize(
    "change",
    [
        lambda top: top.update(pythonClassName=EVIL),
        lambda top: top.update(type=EVIL, content={}),
        lambda top: top["featuresDict"]["features"].update(
            id={"pythonClassName": EVIL, "text": {}}
        ),
        lambda top: top["featuresDict"]["features"].update(
            id={"python_class_name": EVIL, "text": {}}
        ),
        lambda top: top["featuresDict"]["features"].update(
            id={
                "pythonClassName": top["pythonClassName"],
                "jsonFeature": {"json": json.dumps({"x": NESTED})},
            }
        ),
        lambda top: top["featuresDict"]["features"].update(
            id={
                "pythonClassName": "tensorflow_datasets.core.features.sequence_feature"
                ".Sequence",
                "sequence": {"feature": {"pythonClassName": EVIL, "text": {}}},
            }
        ),
    ],
)
def test_features_are_data(dataset, change, monkeypatch):
    """No module that `features.json` names is imported."""
    make_older(dataset)
    (dataset / "evil.py").write_text("raise SystemExit('code ran')")
    monkeypatch.syspath_prepend(str(dataset))
    content = json.loads((dataset / "features.json").read_text())
    change(content)
    (dataset / "features.json").write_text(json.dumps(content))
    with pytest.raises(sources.DatasetError, match="features.json") as error:
        examples.read_prepared(dataset)
    assert "\n" not in str(error.value)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_a_changed_bit_is_found_before_anything_is_read(genome):
    path = genome / "tiny-train.tfrecord-00002-of-00016"
    flip(path)
    with pytest.raises(sources.DatasetError, match=f"{path} is damaged: its checksum"):
        shards.Prepared(genome)


def test_of_large_datasets_all_is_read_on_demand(genome, monkeypatch):
    monkeypatch.setattr(integrity, "_SMALL", 0)
    monkeypatch.setattr(integrity, "_ENDS", 100)
    make_older(genome)
    integrity.seal(genome)
    path = genome / "tiny-train.tfrecord-00002-of-00016"
    flip(path)
    integrity.check(genome)
    with pytest.raises(sources.DatasetError, match=f"{path} is damaged: its checksum"):
        catalogue.prepare(str(genome), verify=True)


def test_damage_found_while_reading_names_the_file(genome):
    """A dataset from before the checksums: only TFRecord's own tell."""
    make_older(genome)
    path = genome / "tiny-train.tfrecord-00002-of-00016"
    flip(path)
    data = shards.Prepared(genome)
    expected = f"{path} is damaged: an example cannot be read: {AGAIN}"
    with pytest.raises(sources.DatasetError) as error, integrity.reading(genome):
        list(data.dataset("train"))
    assert str(error.value) == expected
    with pytest.raises(sources.DatasetError) as error:
        kmer_ranking.count_dataset(genome, 3)
    assert str(error.value) == expected
    with pytest.raises(sources.DatasetError) as error:
        integrity.check(genome, whole=True)
    assert str(error.value) == expected


def test_other_failures_are_not_blamed_on_the_dataset(genome):
    with pytest.raises(tf.errors.InvalidArgumentError), integrity.reading(genome):
        tf.reshape(tf.zeros(3), (2, 2))


def test_an_unreadable_label_names_the_file(dataset):
    make_older(dataset)
    path = dataset / SHARD
    flip(path)
    with pytest.raises(sources.DatasetError, match=f"{path} is damaged"):
        examples.read_prepared(dataset)


def test_a_damaged_dataset_is_not_taken_for_built(dataset):
    def make(root):
        return recipes.LabelledSequences(
            name="labelled", sources=[table], data_dir=root
        )

    root = dataset.parent / "data"
    table = dataset.parent / "x.tsv"
    table.write_text("sequence\tlabel\n" + "ACGT\ta\nAACC\tb\nAAAA\ta\nCCCA\tb\n")
    path, _ = building.prepare("labelled", make, data_dir=root, show_progress=False)
    os.remove(next(path.glob("*train.tfrecord*")))
    with pytest.raises(sources.DatasetError, match=f"is missing: {AGAIN}"):
        building.prepare("labelled", make, data_dir=root, show_progress=False)
    building.prepare(
        "labelled", make, data_dir=root, show_progress=False, overwrite=True
    )
    integrity.check(path, whole=True)


@pytest.mark.parametrize("content", [3, {"x": 1}, {"x": {"bytes": "1"}}, []])
def test_odd_checksums_are_refused(dataset, content):
    facts = json.loads((dataset / "metadata.json").read_text())
    (dataset / "metadata.json").write_text(json.dumps(facts | {"files": content}))
    with pytest.raises(sources.DatasetError, match="metadata.json"):
        integrity.check(dataset)


def test_a_digest_is_of_the_content(built, tiny_genome, dataset, tmp_path):
    facts = building.metadata(built)
    digest = integrity.digest(facts)
    assert len(digest) == 32
    moved = shutil.move(dataset, tmp_path / "moved")
    assert integrity.digest(building.metadata(moved)) == digest
    assert integrity.digest(building.metadata(tiny_genome)) != digest
    older = {key: value for key, value in facts.items() if key != "files"}
    assert integrity.digest(older) == integrity.digest(dict(older)) != ""
    other = older | {"sources": [{"file": "x.tsv", "bytes": 1, "sha256": "0"}]}
    assert integrity.digest(other) != integrity.digest(older)
    assert integrity.digest({}) == ""
