"""Sequences and labels as people have them → arrays that models read."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt

from genomenet.data import tables, tasks
from genomenet.dna import alphabet, encode

Codes = npt.NDArray[np.uint8]

_MOST_LENGTHS: Final = 4  # to which the sequences of a fit are padded


def read_sequences(sequences: Any, *, shortest: int) -> list[Codes]:
    """Reads sequences of any mix of lengths and kinds.

    Args:
        sequences: A list or an array of str, bytes, Bio.Seq.Seq or codes of
            `dna.alphabet`, uint8, (L,); or codes, uint8, (N, L), padded on the right.
        shortest: Bases of the shortest sequence that the model can read.

    Returns:
        Codes of each sequence, uint8, (L,), without padding.

    Raises:
        TypeError: If it is a single sequence, or no sequence.
        ValueError: If a letter is no nucleotide, or a sequence is too short; with its
            index.
    """
    if isinstance(sequences, Mapping) and "bases" in sequences:
        sequences = sequences["bases"]
    if isinstance(sequences, str | bytes):
        raise TypeError("sequences is a single sequence: give a list of them")
    sequences = _as_array(sequences)
    found = []
    for index, sequence in enumerate(sequences):
        codes = _read(sequence, f"sequences[{index}]")
        if len(codes) < shortest:
            raise ValueError(
                f"sequences[{index}] has {len(codes)} bases, the model reads at least"
                f" {shortest}"
            )
        found.append(codes)
    return found


def _read(sequence: Any, name: str) -> Codes:
    if isinstance(sequence, np.ndarray):
        if sequence.ndim != 1 or sequence.dtype.kind not in "ui":
            raise TypeError(
                f"{name} must be codes of shape (L,), got {sequence.dtype} of shape"
                f" {sequence.shape}"
            )
        if len(sequence) and not 0 <= sequence.min() <= sequence.max() <= alphabet.PAD:
            raise ValueError(
                f"{name} holds the code {sequence.max()}: codes are 0 to {alphabet.PAD}"
            )
        real = np.flatnonzero(sequence != alphabet.PAD)
        return sequence[: real[-1] + 1 if len(real) else 0].astype(np.uint8)
    if not isinstance(sequence, str | bytes):
        if not hasattr(sequence, "reverse_complement"):  # of Biopython
            raise TypeError(
                f"{name} must be str, bytes, Bio.Seq or codes, got"
                f" {type(sequence).__name__}"
            )
        sequence = bytes(getattr(sequence, "seq", sequence))
    return encode.encode(sequence, name=name)


def read_labels(given: Any, task: tasks.Task) -> npt.NDArray[Any]:
    """Reads labels.

    Args:
        given: Names or indices of the classes, (N,), or for classes and for several
            labels a table of 0 and 1, (N, classes); for several labels also lists of
            names, or names joined by ";"; for regression numbers, (N,).
        task: What the labels mean.

    Returns:
        Index of each class, int32, (N,); for several labels uint8, (N, classes); for
        regression float32, (N,).

    Raises:
        ValueError: If a label is none of the classes, or no number.
    """
    given = _as_array(given)
    values = [x.item() if isinstance(x, np.generic) else x for x in given]
    if task.kind == tasks.REGRESSION:
        found = np.array(values, np.float32).reshape(-1)
        if len(found) != len(values) or not np.isfinite(found).all():
            raise ValueError("labels of a regression must be one finite number each")
        return found
    rows = [_read_label(value, i, task) for i, value in enumerate(values)]
    if task.kind == tasks.MULTI_LABEL:
        return np.array(rows, np.uint8).reshape(-1, len(task.classes))
    return np.array(rows, np.int32)


def _read_label(value: Any, index: int, task: tasks.Task) -> Any:
    """Returns the index of a class, or 0 and 1 for each."""
    place = f"labels[{index}]"
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        return _encode(value, place, task)
    many, count = task.kind == tasks.MULTI_LABEL, len(task.classes)
    if isinstance(value, bool | int | float) and not many:
        if value != int(value) or not 0 <= value < count:
            raise ValueError(f"{place}={value} is not an index of {count} classes")
        return int(value)
    row = list(value) if isinstance(value, Iterable) else [value]
    if many and all(isinstance(x, str) for x in row):
        return _encode(tables.SEPARATOR.join(map(str, row)), place, task)
    row = np.array(row)
    if row.shape != (count,) or not np.isin(row, (0, 1)).all():
        raise ValueError(f"{place} must be 0 or 1 for each of {count} classes")
    if many:
        return row
    if row.sum() != 1:
        raise ValueError(f"{place} must be 1 for one class, is for {int(row.sum())}")
    return int(row.argmax())


def _encode(label: str, place: str, task: tasks.Task) -> Any:
    row = tables.Row(sequence=b"", label=label, id=place, place=place)
    return task.encode(row)


def _as_array(values: Any) -> Any:
    """Returns a tensor of any backend as an array, and anything else as it is."""
    return values.numpy() if hasattr(values, "numpy") else values


def weigh(
    labels: npt.NDArray[Any],
    sample_weight: Any,
    class_weight: Mapping[Any, float] | None,
    task: tasks.Task,
) -> npt.NDArray[np.float32] | None:
    """Returns the weight of each sequence.

    Args:
        labels: Of `read_labels`.
        sample_weight: Weights, (N,), or None.
        class_weight: Name or index of a class → weight, or None.
        task: What the labels mean.

    Returns:
        float32, (N,), the product of both, or None where neither is given.

    Raises:
        ValueError: If a class is unknown, or there are none.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(len(labels), np.float32)
    if sample_weight is not None:
        given = np.asarray(sample_weight, np.float32)
        if given.shape != weights.shape:
            raise ValueError(f"sample_weight has the shape {given.shape}")
        weights = weights * given
    if class_weight is not None:
        if task.kind not in (tasks.BINARY, tasks.MULTICLASS):
            raise ValueError(f"class_weight needs classes, not {task.kind}")
        each = np.ones(len(task.classes), np.float32)
        names = list(class_weight)
        each[read_labels(names, task)] = [class_weight[name] for name in names]
        weights = weights * each[labels]
    return weights


class Batches(keras.utils.PyDataset):
    """Labelled sequences in batches of at most four padded lengths.

    Args:
        codes: Codes of each sequence, uint8, (L,).
        labels: (N, ...).
        weights: float32, (N,), or None.
        batch_size: Rows of a batch, B; the last one of a length may have fewer.
        shuffle: Whether every epoch has an order of its own.
    """

    def __init__(
        self,
        codes: Sequence[Codes],
        labels: npt.NDArray[Any],
        weights: npt.NDArray[np.float32] | None = None,
        *,
        batch_size: int = 32,
        shuffle: bool = False,
    ):
        super().__init__()
        self._codes, self._labels, self._weights = codes, labels, weights
        self._batch_size = batch_size
        # Seeded by `keras.utils.set_random_seed`, as all of Keras.
        self._rng = np.random.default_rng(random.getrandbits(64)) if shuffle else None
        lengths = np.array([len(sequence) for sequence in codes])
        shares = np.arange(1, _MOST_LENGTHS + 1) / _MOST_LENGTHS
        self._padded = np.unique(np.quantile(lengths, shares, method="higher"))
        self._of_row = np.searchsorted(self._padded, lengths)
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch."""
        rows = np.arange(len(self._codes))
        if self._rng is not None:
            self._rng.shuffle(rows)
        self._batches = []
        for number, length in enumerate(self._padded):
            of_length = rows[self._of_row[rows] == number]
            for start in range(0, len(of_length), self._batch_size):
                part = of_length[start : start + self._batch_size]
                self._batches.append((int(length), part))
        if self._rng is not None:
            order = self._rng.permutation(len(self._batches))
            self._batches = [self._batches[number] for number in order]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Returns a dict with "bases", (B, L), the labels, and where given weights."""
        length, rows = self._batches[index]
        bases = encode.pad([self._codes[row] for row in rows], length)
        batch = ({"bases": bases}, self._labels[rows])
        return batch if self._weights is None else (*batch, self._weights[rows])
