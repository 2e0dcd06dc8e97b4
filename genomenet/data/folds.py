"""Folds of examples: repeats of a sequence in one fold, classes in equal shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from genomenet import task_kinds
from genomenet.data import tasks


def assign(
    truth: npt.NDArray[Any],
    task: tasks.Task,
    groups: Sequence[Any],
    *,
    count: int,
    seed: int,
) -> npt.NDArray[np.intp]:
    """Returns the fold of each row: repeats in one fold, classes in equal shares.

    Args:
        truth: Labels, as `tasks.Task.encode` gives them.
        task: Task of the labels.
        groups: Key of each row, equal for repeats, as `examples.Examples.groups`.
        count: Number of folds; fewer if there are fewer groups.
        seed: Seed of the folds.

    Returns:
        int, (N,), 0 to at most `count` - 1.

    Raises:
        ValueError: If there are fewer than two groups.
    """
    row_of_group = {group: row for row, group in reversed(list(enumerate(groups)))}
    count = min(count, len(row_of_group))
    if count < 2:
        raise ValueError(
            f"all {len(groups)} training sequences are the same: folds need at least 2 "
            "different ones"
        )
    rng = np.random.default_rng(seed)
    first_rows = np.array(sorted(row_of_group.values()))
    strata = truth[first_rows]
    if task.kind == task_kinds.MULTI_LABEL:
        strata = np.unique(strata, axis=0, return_inverse=True)[1].reshape(-1)
    # Rows in random order, then sorted by class (or value), go to the folds in turn.
    order = rng.permutation(len(first_rows))
    order = order[np.argsort(strata[order], kind="stable")]
    fold_of = np.empty(len(first_rows), int)
    fold_of[order] = np.arange(len(first_rows)) % count
    fold_of_group = {
        groups[row]: fold for row, fold in zip(first_rows, fold_of, strict=True)
    }
    return np.array([fold_of_group[group] for group in groups])
