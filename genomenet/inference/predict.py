"""Predicts sequences in memory with a classifier."""

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
    """A compiled classifier, on TensorFlow or JAX.

    Args:
        model: The classifier.
        batch_size: Rows per batch.
    """

    def __init__(self, model: classifier.Classifier, *, batch_size: int = 64):
        self.model = model
        self.batch_size = batch_size
        family = models.get_family(model.family)
        self.shortest: int = family.min_length(model.encoder.config)
        config = model.config
        self.width = 1 if config.task == task_kinds.REGRESSION else len(config.classes)
        # Maximum bases of a padded batch: batches of longer rows have fewer rows.
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
            show_progress: Whether to show a progress bar.

        Returns:
            As `models.classifier.probabilities`, in the order of the sequences.
        """
        predictions = np.zeros((len(sequences), self.width), np.float32)
        with tqdm.tqdm(
            total=len(sequences),
            desc="predicting",
            unit="sequence",
            disable=not show_progress,
        ) as bar:
            for indices, values in self.batches(sequences):
                predictions[indices] = values
                bar.update(len(indices))
        return predictions

    def batches(
        self, sequences: Sequence[npt.NDArray[np.uint8]]
    ) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]]:
        """Predicts sequences of any mix of lengths, batch by batch.

        Args:
            sequences: As for `predict`.

        Yields:
            Indices of the sequences of a batch, and their predictions.
        """
        for indices, rows in batches.by_length(
            sequences, batch_size=self.batch_size, most=self._most
        ):
            yield indices, self.rows(rows)[: len(indices)]


def labels_of(
    task: str, classes: Sequence[str], predicted: npt.NDArray[np.float32]
) -> list[str]:
    """Returns the predicted labels for probabilities.

    Args:
        task: One of `genomenet.task_kinds.KINDS`.
        classes: Names of the classes.
        predicted: Output of `classifier.probabilities`, (N, outputs).

    Returns:
        The most probable class of each row; for multi-label tasks all labels above
        0.5, joined by ";"; for regression an empty list.
    """
    if task == task_kinds.REGRESSION:
        return []
    if task == task_kinds.MULTI_LABEL:
        return [
            ";".join(n for n, p in zip(classes, row, strict=True) if p > 0.5)
            for row in predicted
        ]
    return [str(classes[index]) for index in predicted.argmax(axis=1)]


def _over_rows(size: int, width: int) -> Callable[[Callable[[Any], Any], Any], Any]:
    """Returns a function that applies another function to parts of its rows.

    Args:
        size: Maximum rows of a part.
        width: Width of the function's output.

    Returns:
        A function of another function, (rows, L) → (rows, width), and of rows, (N, L).
    """
    if keras.backend.backend() == "tensorflow":
        from genomenet.release import parts

        return parts.over_rows(size, width)

    def apply(call: Callable[[Any], Any], rows: Any) -> Any:
        count, length = rows.shape
        if count <= size:
            return call(rows)
        padded = ops.pad(rows, ((0, -count % size), (0, 0)))
        outputs = ops.map(call, ops.reshape(padded, (-1, size, length)))
        return ops.reshape(outputs, (-1, width))[:count]

    return apply
