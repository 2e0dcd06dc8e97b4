"""What a report says before training."""

import re

import numpy as np
import pytest

from genomenet.data import examples, tasks
from genomenet.evaluation import metrics, report


def described(names, train, **others):
    """Returns the lines about sequences of which each has its own first bases."""
    rng = np.random.default_rng(0)
    splits = {}
    for split, found in {"train": train, **others}.items():
        splits[split] = examples.Examples(
            codes=rng.integers(0, 4, 30 * len(found)).astype(np.uint8),
            offsets=np.arange(len(found) + 1) * 30,
            labels=np.array(found, np.int32),
            ids=list(map(str, range(len(found)))),
        )
    kind = "binary" if len(names) == 2 else "multiclass"
    task = tasks.Task(kind=kind, classes=tuple(names))
    return examples.Data(name="x.tsv", task=task, splits=splits)


def test_nothing_to_warn_of():
    data = described(["no", "yes"], [0, 0, 1, 1], test=[0, 1, 0, 1])
    assert list(report.describe(data)) == [
        "x.tsv: binary of 2 classes; 4 train, 4 test sequences of 30 to 30 bases",
        "positive class: 'yes' (choose the other with positive or --positive)",
    ]


def test_a_positive_class_that_no_name_tells_is_said():
    data = described(["MAFK", "OCT4"], [0, 0, 1, 1])
    assert list(report.describe(data))[1] == (
        "positive class: 'OCT4', the last one as neither name tells (choose the other"
        " with positive or --positive)"
    )
    other = data.with_positive("MAFK")
    assert list(report.describe(other))[1] == (
        "positive class: 'MAFK' (choose the other with positive or --positive)"
    )
    with pytest.raises(ValueError, match="positive=x is none of the classes MAFK"):
        data.with_positive("x")


@pytest.mark.parametrize(
    ("counts", "is_folded", "expected"),
    [
        ((15, 15), False, []),
        ((3, 3), False, ["only 6 test sequences: .*; --folds=5 scores all training"]),
        ((3, 3), True, ["only 6 test sequences: the intervals say little$"]),
        ((9, 40), False, ["only 9 test sequences of class 'no': "]),
        ((0, 40), False, []),  # has a warning of its own
    ],
)
def test_intervals_of_few_sequences_are_warned_of(counts, is_folded, expected):
    truth = np.repeat([0, 1], counts)
    task = tasks.Task(kind="binary", classes=("no", "yes"))
    scores = metrics.score(task, truth, np.full((len(truth), 2), 0.5), resamples=2)
    lines = list(report._few(scores, "test", is_folded=is_folded))
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.match(pattern, line)


@pytest.mark.parametrize("score", ["AUROC", "Pearson"])
def test_the_table_of_heads_names_its_columns(score):
    head = {
        "readout": ["mean"],
        "strands": "both",
        "score": 0.5,
        "loss": 1,
        "penalty": 1,
    }
    title, *rows = report._tried({"tried": [head]}, score)
    assert title.endswith(
        f"lowest loss first (score: {score}; penalty: inverse strength of L2):"
    )
    assert len(rows) == 2


def test_contradictions_are_named():
    data = described(["no", "yes"], [0, 0, 1, 1])
    train = data["train"]
    train.codes[-30:] = train.codes[:30]
    lines = list(report.describe(data))
    (warning,) = lines[2:]
    assert re.match("WARNING: 1 sequences .*labels", warning)


def test_many_rare_classes_are_counted():
    names = list(map(str, range(40)))
    lines = list(report.describe(described(names, [*range(40), 0, 0])))
    assert lines[1] == "WARNING: class '1' has a single example in train"
    assert len(lines) == 13
    assert lines[11].startswith("WARNING: 29 more")
    assert "task=regression" in lines[12]


def test_classes_named_as_columns_are_told_apart():
    data = described(["id", "yes"], [0, 1])
    lines = report._table(data, data["train"], np.eye(2, dtype=np.float32))
    assert lines.splitlines() == [
        "id\tlength\tlabel\tpredicted\tclass_id\tyes",
        "0\t30\tid\tid\t1\t0",
        "1\t30\tyes\tyes\t0\t1",
    ]
