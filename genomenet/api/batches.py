"""Batches of sequences and labels for Keras."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt

from genomenet.api import inputs
from genomenet.dna import encode

_MOST_LENGTHS: Final = 4  # maximum number of padded lengths in one fit


class Batches(keras.utils.PyDataset):
    """Labelled sequences in batches of at most four padded lengths.

    Args:
        codes: Codes of each sequence, uint8, (L,).
        labels: (N, ...).
        weights: float32, (N,), or None.
        batch_size: Rows of a batch, B; the last batch of each length may have fewer.
        shuffle: Whether to draw a new order for every epoch.
    """

    def __init__(
        self,
        codes: Sequence[inputs.Codes],
        labels: npt.NDArray[Any],
        weights: npt.NDArray[np.float32] | None = None,
        *,
        batch_size: int = 32,
        shuffle: bool = False,
    ):
        super().__init__()
        self._codes, self._labels, self._weights = codes, labels, weights
        self._batch_size = batch_size
        # Seeded by `keras.utils.set_random_seed`, like all of Keras.
        self._rng = np.random.default_rng(random.getrandbits(64)) if shuffle else None
        lengths = np.array([len(sequence) for sequence in codes])
        shares = np.arange(1, _MOST_LENGTHS + 1) / _MOST_LENGTHS
        self._padded = np.unique(np.quantile(lengths, shares, method="higher"))
        self._length_index = np.searchsorted(self._padded, lengths)
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch."""
        rows = np.arange(len(self._codes))
        if self._rng is not None:
            self._rng.shuffle(rows)
        self._batches = []
        for index, length in enumerate(self._padded):
            same_length = rows[self._length_index[rows] == index]
            for start in range(0, len(same_length), self._batch_size):
                part = same_length[start : start + self._batch_size]
                self._batches.append((int(length), part))
        if self._rng is not None:
            order = self._rng.permutation(len(self._batches))
            self._batches = [self._batches[index] for index in order]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Returns a dict with "bases", (B, L), the labels, and any sample weights."""
        length, rows = self._batches[index]
        bases = encode.pad([self._codes[row] for row in rows], length)
        batch = ({"bases": bases}, self._labels[rows])
        return batch if self._weights is None else (*batch, self._weights[rows])


def hold_out(rows: Sequence[Any], share: float) -> Iterator[tuple[Any, ...]]:
    """Splits codes, labels and weights into a training part and a held-out part.

    Args:
        rows: Codes, labels, and weights or None, as from `inputs.read_labelled`.
        share: Share of the sequences, the last ones, that is held out.

    Yields:
        Codes, labels, and weights or None of the first part, then of the held-out part.

    Raises:
        ValueError: If a part is empty.
    """
    if not 0 < share < 1:
        raise ValueError(f"validation_split must be between 0 and 1, got {share}")
    total = len(rows[0])
    first = int(total * (1 - share))
    if not 0 < first < total:
        raise ValueError(
            f"validation_split={share} leaves one part of {total} sequences empty"
        )
    for part in (slice(first), slice(first, None)):
        yield tuple(x if x is None else x[part] for x in rows)


def is_dataset(x: Any) -> bool:
    """Returns whether `x` is a dataset of batches: a PyDataset or tf.data.Dataset."""
    return isinstance(x, keras.utils.PyDataset) or hasattr(x, "element_spec")


def read_dataset(data: Any, *, shortest: int) -> Any:
    """Returns a dataset of codes; strings of a tf.data.Dataset are encoded."""
    spec = getattr(data, "element_spec", None)
    first = spec[0] if isinstance(spec, tuple) else spec
    if getattr(getattr(first, "dtype", None), "name", "") != "string":
        return data
    from genomenet.release import signatures

    def read(sequences: Any, *rest: Any) -> Any:
        codes = signatures.read_strings(sequences, shortest=shortest)
        return ({"bases": codes}, *rest) if rest else {"bases": codes}

    return data.map(read)


def count(data: Any) -> int | None:
    """Returns the number of batches of a dataset, or None if it is unknown."""
    try:
        return len(data)
    except TypeError:  # an infinite tf.data.Dataset, or one of unknown length
        return None
