"""The gapped k-mer SVM: what it is asked, and what it finds."""

import sys
import types

import numpy as np
import pytest

from genomenet.data import tasks
from genomenet.evaluation import gapped_kmers, runner

TASK = tasks.Task(kind="binary", classes=("no", "yes"))


def examples(rows, seed=0):
    """Returns sequences of which every second one holds a word."""
    rng = np.random.default_rng(seed)
    codes = [rng.integers(0, 5, 30 + row % 3).astype(np.uint8) for row in range(rows)]
    for row in codes[1::2]:
        row[8:22] = [2, 0, 3, 3, 0, 1, 0, 2, 0, 3, 3, 0, 1, 0]
    return codes, np.arange(rows) % 2


def test_rows_of_one_length_without_gaps_are_read(monkeypatch):
    seen = {}

    def train_gkmsvm(yes, no, **options):
        seen.update(yes=yes, no=no, **options)
        return lambda x: x.sum((1, 2))[:, None] - 31.0

    fake = types.SimpleNamespace(train_gkmsvm=train_gkmsvm)
    monkeypatch.setitem(sys.modules, "gkmsvm", fake)
    monkeypatch.setattr(gapped_kmers, "is_installed", lambda: True)
    codes, truth = examples(20)
    model = gapped_kmers.GappedKmerSvm(TASK).fit(codes, truth)
    assert (seen["l"], seen["k"], seen["d"]) == (11, 7, 3)
    assert seen["yes"].shape == seen["no"].shape == (10, 4, 32)
    assert (seen["yes"].sum(axis=1) == 1).all()  # a base everywhere
    found = model.predict([np.zeros(50, np.uint8), codes[0]])
    np.testing.assert_allclose(found, [[1 / (1 + np.e), 1 - 1 / (1 + np.e)]] * 2)
    monkeypatch.setattr(gapped_kmers, "MOST", 8)
    gapped_kmers.GappedKmerSvm(TASK).fit(codes, truth)
    assert len(seen["yes"]) + len(seen["no"]) == 8


def test_what_cannot_be_run_is_left_out(monkeypatch):
    monkeypatch.setattr(gapped_kmers, "is_installed", lambda: True)
    assert not runner.left_out(TASK)
    three = tasks.Task(kind="multiclass", classes=("a", "b", "c"))
    assert runner.left_out(three) == {"gapped k-mer SVM": "it needs two classes"}
    with pytest.raises(ValueError, match="needs two classes, not multiclass"):
        gapped_kmers.GappedKmerSvm(three)
    monkeypatch.setattr(gapped_kmers, "is_installed", lambda: False)
    with pytest.raises(ImportError, match="genomenet.audit"):
        gapped_kmers.GappedKmerSvm(TASK)


def test_it_finds_a_word():
    pytest.importorskip("gkmsvm")
    model = gapped_kmers.GappedKmerSvm(TASK).fit(*examples(40))
    codes, truth = examples(20, seed=1)
    assert (model.predict(codes).argmax(axis=1) == truth).mean() > 0.9
