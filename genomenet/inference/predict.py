"""Predictions of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tqdm

from genomenet import models
from genomenet.dna import alphabet
from genomenet.models import classify

_GRID: Final = 64  # bases: lengths of padded rows, so that few graphs are traced


class Predictor:
    """A classifier, compiled.

    Args:
        model: The classifier.
        batch_size: Rows that are predicted at once.
    """

    def __init__(self, model: classify.Classifier, *, batch_size: int = 64):
        self.model = model
        self.batch_size = batch_size
        self.shortest: int = models.get_family(model.family).shortest(
            model.encoder.config
        )
        self._call = tf.function(lambda bases: classify.predict(model, bases))

    def rows(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Predicts rows of one length: (B, L), padded → (B, outputs)."""
        return self._call(tf.constant(codes)).numpy().astype(np.float32)

    def predict(
        self,
        sequences: Sequence[npt.NDArray[np.uint8]],
        *,
        show_progress: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Predicts sequences of any mix of lengths, each as a whole.

        Args:
            sequences: Codes of `dna.alphabet`, uint8, (L,) each.
            show_progress: Whether to show a bar.

        Returns:
            As `models.classify.probabilities`, in their order.
        """
        config = self.model.config
        width = 1 if config.task == classify.REGRESSION else len(config.classes)
        found = np.zeros((len(sequences), width), np.float32)
        # Neighbours in length share a batch, so that little is padded.
        order = np.argsort([len(s) for s in sequences], kind="stable")
        steps = range(0, len(order), self.batch_size)
        for start in tqdm.tqdm(
            steps, desc="predicting", unit="batch", disable=not show_progress
        ):
            numbers = order[start : start + self.batch_size]
            longest = max(len(sequences[number]) for number in numbers)
            rows = np.full(
                (self.batch_size, -(-longest // _GRID) * _GRID), alphabet.PAD, np.uint8
            )
            rows[len(numbers) :] = alphabet.N
            for row, number in zip(rows, numbers, strict=False):
                row[: len(sequences[number])] = sequences[number]
            found[numbers] = self.rows(rows)[: len(numbers)]
        return found


def labels_of(
    task: str, classes: Sequence[str], found: npt.NDArray[np.float32]
) -> list[str]:
    """Returns what probabilities mean in words.

    Args:
        task: One of `classify.TASKS`.
        classes: Their names.
        found: Of `classify.probabilities`, (N, outputs).

    Returns:
        The most probable class of each; of several labels those of at least 0.5,
        joined by ";"; of regression nothing.
    """
    if task == classify.REGRESSION:
        return []
    if task == classify.MULTI_LABEL:
        return [
            ";".join(n for n, p in zip(classes, row, strict=True) if p >= 0.5)
            for row in found
        ]
    return [str(classes[number]) for number in found.argmax(axis=1)]
