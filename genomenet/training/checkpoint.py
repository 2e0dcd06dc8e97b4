"""Everything a run needs to go on exactly where it was."""

from __future__ import annotations

import errno
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf


class Checkpoints:
    """Saves and restores a run, atomically, as TensorFlow checkpoints.

    A checkpoint holds the weights, the optimizer, the step, which tells the
    place in the data, and the metrics summed since the last row of `metrics.jsonl`.

    Args:
        directory: Where they lie.
        model: The model.
        optimizer: Its optimizer, built.
        keep: Checkpoints kept.
        read_only: For processes that are not the chief.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        keep: int,
        read_only: bool = False,
    ):
        self._read_only = read_only
        self._step = tf.Variable(tf.constant(0, tf.int64))
        self._totals = tf.Variable(
            tf.constant("{}")
        )  # JSON: names differ between families
        self._checkpoint = tf.train.Checkpoint(
            model=_variables(model),
            optimizer=[v.value for v in optimizer.variables],
            step=self._step,
            totals=self._totals,
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, os.fspath(directory), max_to_keep=keep
        )

    @property
    def latest_step(self) -> int | None:
        """The step of the newest checkpoint on disk, or None."""
        path = self._manager.latest_checkpoint
        return None if path is None else int(path.rpartition("-")[2])

    def restore(self) -> tuple[int, dict[str, float]]:
        """Restores the newest checkpoint, if there is one.

        Returns:
            Its step, 0 if there is none, and the sums given to `save`.
        """
        path = self._manager.latest_checkpoint
        if path is not None:
            self._checkpoint.restore(path).assert_consumed()
        totals: Any = self._totals.numpy()
        return int(self._step.numpy()), json.loads(totals)

    def save(self, step: int, totals: Mapping[str, float]) -> None:
        """Saves a checkpoint, once a step; not on workers that are not the chief.

        Raises:
            OSError: If the disk is full; the checkpoints before stay.
        """
        if self._read_only or self.latest_step == step:
            return
        self._step.assign(step)
        self._totals.assign(json.dumps(dict(totals)))
        try:
            self._manager.save(checkpoint_number=step)
        except tf.errors.ResourceExhaustedError as e:
            told = os.strerror(errno.ENOSPC)
            raise OSError(errno.ENOSPC, told, self._manager.directory) from e


def load_weights(model: keras.Model, directory: str | os.PathLike[str]) -> int:
    """Loads the weights of a run's newest checkpoint into a model.

    Args:
        model: Of the run's configuration.
        directory: The run's folder.

    Returns:
        The step of the checkpoint.

    Raises:
        ValueError: If there is no checkpoint, or it is of another model.
    """
    folder = pathlib.Path(directory) / "checkpoints"
    path = tf.train.latest_checkpoint(os.fspath(folder))
    if path is None:
        raise ValueError(f"{directory} holds no checkpoint: has it been trained?")
    checkpoint = tf.train.Checkpoint(model=_variables(model))
    try:
        status = checkpoint.restore(path)
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError) as e:
        raise ValueError(f"{path} is not a checkpoint of this model: {e}") from e
    return int(path.rpartition("-")[2])


def _variables(model: keras.Model) -> dict[str, Any]:
    """Returns the model's variables by their paths."""
    found: dict[str, Any] = {}
    for variable in model.variables:
        path = variable.path
        if path.startswith("seed_generator"):  # numbered over the whole process
            path = f"seed_generator/{len(found)}"
        found[path.replace("/", ".")] = variable.value
    return found
