"""Regularised linear heads over fixed features; NumPy and scikit-learn only.

C is the number of channels, N of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import task_kinds
from genomenet.data import tasks

_ABSENT: Final = -10.0  # logit of a class that has no training row

Array = npt.NDArray[Any]


def constants(values: Array, name: str) -> tuple[Array, Array]:
    """Returns the shift and the factor that standardise each channel.

    Channels of states are scaled to equal spread. Counts and positions keep their
    relative spread, so that a rare k-mer weighs no more than a common one. The mean
    square length of rows becomes 1.
    """
    values = np.asarray(values, np.float64)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    if name.startswith(("kmers", "onehot")):
        return mean, np.full(len(mean), 1 / max(np.linalg.norm(spread), 1e-9))
    is_alive = spread > 1e-6 * max(spread.max(), 1e-9)
    factor = np.where(is_alive, 1 / np.maximum(spread, 1e-9), 0.0)
    return mean, factor / np.sqrt(max(np.count_nonzero(is_alive), 1))


def scaled(
    features: Mapping[str, Array], readout: tuple[str, ...]
) -> tuple[Array, float]:
    """Returns the scaled, concatenated features of a readout and their shrinkage."""
    parts = []
    for name in readout:
        mean, factor = constants(features[name], name)
        parts.append((features[name] - mean) * factor)
    shrink = 1 / np.sqrt(len(readout))
    return np.concatenate(parts, axis=1) * shrink, float(shrink)


def fit(
    features: Array, truth: Array, task: tasks.Task, weights: Array, penalty: float
) -> tuple[Array, Array]:
    """Fits a regularised head; returns kernel, (C, outputs), and bias, (outputs,)."""
    from sklearn import linear_model

    if task.kind == task_kinds.REGRESSION:
        ridge = linear_model.Ridge(alpha=1 / penalty).fit(features, truth, weights)
        return ridge.coef_[:, None], np.array([ridge.intercept_])
    is_multi = task.kind == task_kinds.MULTI_LABEL
    kernel = np.zeros((features.shape[1], num_outputs(task)))
    bias = np.full(num_outputs(task), _ABSENT)
    for output, column in enumerate(truth.T if is_multi else [truth]):
        present = np.unique(column)
        columns = [output] if is_multi or task.kind == task_kinds.BINARY else present
        if len(present) == 1:
            is_positive = task.kind == task_kinds.MULTICLASS or present[0] == 1
            bias[columns] = -_ABSENT if is_positive else _ABSENT
            continue
        model: Any = linear_model.LogisticRegression(C=penalty, max_iter=200, tol=1e-3)
        model.fit(features, column, weights)
        slope, offset = np.asarray(model.coef_), np.asarray(model.intercept_)
        if task.kind == task_kinds.MULTICLASS and len(present) == 2:
            slope, offset = (
                np.stack([-slope[0], slope[0]]) / 2,
                np.array([-1, 1]) * (offset[0] / 2),
            )
        kernel[:, columns], bias[columns] = slope.T, offset
    return kernel, bias


def fewer_channels(features: Array) -> tuple[Array, Any]:
    """Returns features with at most as many channels as rows, and the inverse map.

    The rows are rotated into the space that they span, where a penalised head is the
    same. The inverse map turns a kernel of that head into one of all channels.
    """
    if features.shape[1] <= features.shape[0]:
        return features, lambda kernel: kernel
    values, vectors = np.linalg.eigh(features @ features.T)
    is_real = values > 1e-10 * max(values[-1], 1e-300)
    roots, vectors = np.sqrt(values[is_real]), vectors[:, is_real]
    return vectors * roots, lambda kernel: features.T @ (vectors / roots @ kernel)


def num_outputs(task: tasks.Task) -> int:
    """Returns the number of logits of a head."""
    return (
        1
        if task.kind in (task_kinds.BINARY, task_kinds.REGRESSION)
        else len(task.classes)
    )
