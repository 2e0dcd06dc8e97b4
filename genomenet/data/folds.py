"""Folds of examples: repeats of a sequence in one, classes in equal shares."""

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
    """Returns the fold of each row: repeats in one, classes in equal shares.

    Args:
        truth: Labels, as `tasks.Task.encode` gives them.
        task: Of the labels.
        groups: What repeats of a row share, as `examples.Examples.groups`.
        count: Folds; fewer where there are fewer groups.
        seed: Of the folds.

    Returns:
        int, (N,), 0 to at most `count` - 1.

    Raises:
        ValueError: If there are fewer than two groups.
    """
    first = {group: row for row, group in reversed(list(enumerate(groups)))}
    count = min(count, len(first))
    if count < 2:
        raise ValueError("all training sequences are one and the same")
    rng = np.random.default_rng(seed)
    heads = np.array(sorted(first.values()))
    strata = truth[heads]
    if task.kind == task_kinds.MULTI_LABEL:
        strata = np.unique(strata, axis=0, return_inverse=True)[1].reshape(-1)
    # In random order, then by class (or by number), dealt out one after the other.
    order = rng.permutation(len(heads))
    order = order[np.argsort(strata[order], kind="stable")]
    fold_of = np.empty(len(heads), int)
    fold_of[order] = np.arange(len(heads)) % count
    of_group = {groups[head]: fold for head, fold in zip(heads, fold_of, strict=True)}
    return np.array([of_group[group] for group in groups])
