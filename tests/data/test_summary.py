"""The table that ends a build."""

import json

from genomenet.data import summary


def write(tmp_path, splits, facts):
    info = {
        "splits": [
            {"name": name, "shardLengths": [str(n) for n in lengths]}
            for name, lengths in splits.items()
        ]
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    (tmp_path / "metadata.json").write_text(json.dumps(facts))
    return summary.table(tmp_path).splitlines()


def test_a_genome(tmp_path):
    skipped = {
        "n_bases": 3_000,
        "all_n": 1,
        "only_short": 0,
        "short_pieces": 2,
        "short_bases": 60,
        "other_records": 0,
    }
    facts = {"bases": {"train": 900_000, "test": 100_000}, "skipped": skipped}
    lines = write(
        tmp_path,
        {"train": [600, 600], "test": [130]},
        {**facts, "min_length": 100},
    )
    assert lines == [
        "split  chunks    bases  shards  share",
        "train   1,200  900,000       2  90.0%",
        "test      130  100,000       1  10.0%",
        "left out: 3,000 N at ends and in long runs; 1 records all N; "
        "2 pieces under 100 bases (60 bases)",
    ]


def test_labels(tmp_path):
    facts = {
        "task": "binary",
        "labels": {"train": {"no": 4, "yes": 5}, "test": {"no": 1, "yes": 0}},
        "repeated_rows": 3,
        "with_several_labels": 1,
        "in_several_splits": 0,
        "bases": 200,
        "copies": {"train": "train_10"},
        "absent": ["train_50", "train_100"],
    }
    assert write(tmp_path, {"train": [9], "test": [1]}, facts) == [
        "split  sequences  shards  share",
        "train          9       1  90.0%",
        "test           1       1  10.0%",
        "task: binary",
        "train: no 4, yes 5",
        "test: no 1, yes 0",
        "train is train_10",
        "absent: train_50, train_100",
        "note: 3 rows repeat a sequence (on either strand); 1 sequences have several "
        "labels, 0 are in several splits",
    ]


def test_a_dataset_of_another_program(tmp_path):
    assert write(tmp_path, {"train": [9]}, {})[1] == "train          9       1  100.0%"
