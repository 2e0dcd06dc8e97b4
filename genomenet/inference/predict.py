"""Predictions of a classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tqdm.auto as tqdm
from keras import ops

from genomenet import compiled, models, task_kinds
from genomenet.data import batches
from genomenet.models import classifier


class Predictor:
    """A classifier, compiled, on TensorFlow or JAX.

    Args:
        model: The classifier.
        batch_size: Rows that are predicted at once.
    """

    def __init__(self, model: classifier.Classifier, *, batch_size: int = 64):
        self.model = model
        self.batch_size = batch_size
        family = models.get_family(model.family)
        self.shortest: int = family.shortest(model.encoder.config)
        config = model.config
        self.width = 1 if config.task == task_kinds.REGRESSION else len(config.classes)
        # Bases of a padded batch, at most: of longer rows it holds fewer.
        self._most = batch_size * max(config.length, config.window)
        size = max(1, self._most // config.window)
        apply = _over_rows(size, model.vector_width)
        self._call = compiled.function(
            model, lambda model, bases: classifier.predict(model, bases, apply=apply)
        )

    def rows(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Predicts rows of one length: (B, L), padded → (B, outputs)."""
        return self._call(compiled.pad_to_few(codes)).astype(np.float32)

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
            As `models.classifier.probabilities`, in their order.
        """
        found = np.zeros((len(sequences), self.width), np.float32)
        with tqdm.tqdm(
            total=len(sequences),
            desc="predicting",
            unit="sequence",
            disable=not show_progress,
        ) as bar:
            for numbers, values in self.batches(sequences):
                found[numbers] = values
                bar.update(len(numbers))
        return found

    def batches(
        self, sequences: Sequence[npt.NDArray[np.uint8]]
    ) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]]:
        """Predicts sequences of any mix of lengths, batch by batch.

        Args:
            sequences: As for `predict`.

        Yields:
            Numbers of the sequences of a batch, and their predictions.
        """
        for numbers, rows in batches.by_length(
            sequences, batch_size=self.batch_size, most=self._most
        ):
            yield numbers, self.rows(rows)[: len(numbers)]


def labels_of(
    task: str, classes: Sequence[str], found: npt.NDArray[np.float32]
) -> list[str]:
    """Returns what probabilities mean in words.

    Args:
        task: One of `genomenet.task_kinds.KINDS`.
        classes: Their names.
        found: Of `classifier.probabilities`, (N, outputs).

    Returns:
        The most probable class of each; of several labels those above 0.5,
        joined by ";"; of regression nothing.
    """
    if task == task_kinds.REGRESSION:
        return []
    if task == task_kinds.MULTI_LABEL:
        return [
            ";".join(n for n, p in zip(classes, row, strict=True) if p > 0.5)
            for row in found
        ]
    return [str(classes[number]) for number in found.argmax(axis=1)]


def _over_rows(size: int, width: int) -> Callable[[Callable[[Any], Any], Any], Any]:
    """Returns what calls a function on at most some rows at a time.

    Args:
        size: Rows at a time.
        width: Of what the function makes of a row.

    Returns:
        A function of a function, (rows, L) → (rows, width), and its rows, (N, L).
    """
    if keras.backend.backend() == "tensorflow":
        from genomenet.release import parts

        return parts.over_rows(size, width)

    def apply(call: Callable[[Any], Any], rows: Any) -> Any:
        count, length = rows.shape
        if count <= size:
            return call(rows)
        padded = ops.pad(rows, ((0, -count % size), (0, 0)))
        found = ops.map(call, ops.reshape(padded, (-1, size, length)))
        return ops.reshape(found, (-1, width))[:count]

    return apply
