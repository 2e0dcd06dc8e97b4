"""Folds: repeats together, classes in equal shares."""

import numpy as np
import pytest

from genomenet.data import folds, tasks

TASK = tasks.Task(kind="multiclass", classes=("a", "b", "c"))


def test_repeats_are_in_one_fold_and_classes_in_all():
    groups = np.repeat(np.arange(30), 2)
    truth = np.repeat(np.arange(30) % 3, 2)
    found = folds.assign(truth, TASK, list(groups), count=5, seed=0)
    assert set(found) == set(range(5))
    for group in range(30):
        assert len(set(found[groups == group])) == 1
    for fold in range(5):
        assert np.bincount(truth[found == fold]).tolist() == [4, 4, 4]
    with pytest.raises(ValueError, match="all 60 training sequences"):
        folds.assign(truth, TASK, ["a"] * 60, count=5, seed=0)
