"""A support vector machine on gapped k-mers, by `gkmsvm-lite`."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import special

from genomenet import task_kinds
from genomenet.data import tasks
from genomenet.dna import alphabet, encode

LENGTH: Final = 11
"""Bases of a gapped k-mer; shorter sequences are padded to this length."""

MOST: Final = 2_000
"""Largest number of training sequences: each is compared with all others."""

_INFORMATIVE: Final = 7
_MISMATCHES: Final = 3


def is_installed() -> bool:
    """Returns whether `gkmsvm-lite`, an optional dependency, is installed."""
    return importlib.util.find_spec("gkmsvm") is not None


class GappedKmerSvm:
    """Classifies two classes by a support vector machine on gapped k-mers.

    The settings are the defaults of gkm-SVM: 7 informative of 11 bases, up to 3
    mismatches, both strands, C = 1. Unknown bases, and padding where lengths differ,
    are replaced by random bases.

    Args:
        task: A task of two classes.
        seed: Seed of the training sequences and the random bases.

    Raises:
        ValueError: If there are not two classes.
        ImportError: If `gkmsvm-lite` is not installed.

    Source:
        Ghandi et al., Enhanced regulatory sequence prediction using gapped k-mer
        features (2014); gkmsvm-lite, MIT. Difference: at most `MOST` sequences are
        drawn for training.
    """

    def __init__(self, task: tasks.Task, *, seed: int = 0):
        if task.kind != task_kinds.BINARY:
            raise ValueError(f"a gapped k-mer SVM needs two classes, not {task.kind}")
        if not is_installed():
            raise ImportError("a gapped k-mer SVM needs pip install 'genomenet[audit]'")
        self.task, self.seed = task, seed
        self._model: Any = None
        self._length = 0

    def fit(
        self, codes: Sequence[npt.NDArray[np.uint8]], truth: npt.NDArray[Any]
    ) -> GappedKmerSvm:
        """Fits the SVM to sequences; see `baselines.KmerLogisticRegression.fit`."""
        import gkmsvm  # pyright: ignore[reportMissingImports]

        rows = np.random.default_rng(self.seed).permutation(len(codes))[:MOST]
        self._length = max(LENGTH, *(len(codes[row]) for row in rows))
        table, truth = self._read([codes[row] for row in rows]), np.asarray(truth)[rows]
        self._model = gkmsvm.train_gkmsvm(
            table[truth == 1],
            table[truth == 0],
            l=LENGTH,
            k=_INFORMATIVE,
            d=_MISMATCHES,
            device="cpu",
        )
        return self

    def predict(self, codes: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[Any]:
        """Returns the margins as if they were logits: probabilities, float64, (N, 2).

        These probabilities rank sequences, but are not calibrated.
        """
        if self._model is None:
            raise ValueError("call fit before predict")
        margin = np.asarray(self._model(self._read(codes)), np.float64)[:, 0]
        positive = special.expit(margin)
        return np.stack([1 - positive, positive], axis=1)

    def _read(self, codes: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Returns one-hot sequences, truncated to the trained length, (N, 4, L)."""
        rows = encode.pad([row[: self._length] for row in codes], self._length)
        rng = np.random.default_rng(self.seed)
        drawn = rng.integers(0, alphabet.NUM_BASES, rows.shape)
        rows = np.where(rows < alphabet.NUM_BASES, rows, drawn)
        return encode.one_hot(rows).swapaxes(1, 2)
