"""What is said of strands."""

import numpy as np
import pytest

from genomenet.data import examples, tasks
from genomenet.evaluation import strands


def data(rows=80, *, is_stranded=True):
    """Returns sequences that one place of one strand, or of either, tells apart."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (rows, 30)).astype(np.uint8)
    truth = np.arange(rows, dtype=np.int32) % 2
    codes[:, 6:11] = np.array([[0, 0, 2, 1, 1], [1, 1, 2, 0, 0]])[truth]
    if not is_stranded:
        codes[::4] = 3 - codes[::4, ::-1]
        codes[1::4] = 3 - codes[1::4, ::-1]
    split = examples.Examples(
        codes=codes.reshape(-1),
        offsets=np.arange(rows + 1) * 30,
        labels=truth,
        ids=list(map(str, range(rows))),
    )
    task = tasks.Task(kind="binary", classes=("minus", "plus"))
    return examples.Data(name="x", task=task, splits={"train": split})


def test_a_strand_that_tells_more_is_named():
    own = data()
    own["train"].codes.reshape(-1, 30)[1::2] = (
        3 - own["train"].codes.reshape(-1, 30)[::2, ::-1]
    )
    mirrored, words = strands.notes(own)
    assert mirrored.startswith("100% of the sequences of 'minus' and 'plus'")
    assert "a held-out AUROC of 1.000, those of both strands 0" in words
    assert words.endswith("strands=forward")
    assert strands.notes(own, reads_both=False) == [mirrored]
    assert strands.notes(data(is_stranded=False)) == []


@pytest.mark.parametrize("is_clear", [False, True])
def test_what_few_labels_chose_is_said(is_clear):
    selection = {
        "strands": "forward",
        "strand_is_clearly_better": is_clear,
        "score_of_strands": {"both": 0.61, "forward": 0.85},
    }
    found = strands.notes(data(), selection=selection)
    expected = "0.850 against 0.610 over held-out folds; only one strand is read"
    assert [note.endswith(expected) for note in found] == [True] * is_clear
