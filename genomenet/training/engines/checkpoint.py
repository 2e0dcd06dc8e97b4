"""Checkpoints from which a run on TensorFlow resumes exactly."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Mapping
from typing import Any, Final

import keras
import tensorflow as tf

from genomenet import atomic
from genomenet.data import sources
from genomenet.training import fallback

_DATA: Final = re.compile(r"ckpt-([0-9]+)\.data-.*")
_NAME: Final = re.compile(r"ckpt-([0-9]+)\.(index|sha256)")


class Checkpoints:
    """Saves and restores a run, atomically, as TensorFlow checkpoints.

    A checkpoint holds the weights, the optimizer, the step, which determines the
    position in the data, and the metrics summed since the last row of `metrics.jsonl`.
    The checksums of its files are saved next to it.

    Args:
        directory: Folder of the checkpoints.
        model: The model.
        optimizer: Its optimizer, built.
        keep: Number of checkpoints that are kept.
        read_only: Whether to write nothing, as in processes that are not the chief.
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
        self._directory = pathlib.Path(directory)
        self._keep = keep
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

    @property
    def latest_step(self) -> int | None:
        """The step of the newest checkpoint on disk, or None."""
        return max(_steps(self._directory), default=None)

    def restore(self) -> tuple[int, dict[str, float]]:
        """Restores the newest intact checkpoint, if there is one.

        Returns:
            Its step, 0 if there is none, and the sums given to `save`.

        Raises:
            ValueError: If there are checkpoints and all of them are damaged.
        """
        steps = _steps(self._directory)
        if not steps:
            return 0, {}

        def read(path: pathlib.Path) -> None:
            _verify(path)
            self._checkpoint.read(os.fspath(path)).assert_consumed()

        paths = [self._path(step) for step in steps]
        discard = (lambda path: None) if self._read_only else _remove
        fallback.newest(paths, read, discard=discard)
        totals: Any = self._totals.numpy()
        return int(self._step.numpy()), json.loads(totals)

    def save(self, step: int, totals: Mapping[str, float]) -> None:
        """Saves a checkpoint, at most one per step and only on the chief.

        Raises:
            OSError: If the disk is full; older checkpoints are kept.
        """
        if self._read_only or self.latest_step == step:
            return
        self._step.assign(step)
        self._totals.assign(json.dumps(dict(totals)))
        path = self._path(step)
        self._directory.mkdir(parents=True, exist_ok=True)
        for leftover in self._directory.glob("ckpt-*_temp"):  # of a killed process
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            self._checkpoint.write(os.fspath(path))
        except tf.errors.ResourceExhaustedError as e:
            reason = os.strerror(errno.ENOSPC)
            raise OSError(errno.ENOSPC, reason, os.fspath(self._directory)) from e
        checksums = {part.name: sources.sha256(part) for part in _parts(path)}
        atomic.write_text(path.with_suffix(".sha256"), json.dumps(checksums, indent=2))
        for old in _steps(self._directory)[: -self._keep]:
            _remove(self._path(old))

    def _path(self, step: int) -> pathlib.Path:
        return self._directory / f"ckpt-{step}"


def load_weights(model: keras.Model, directory: str | os.PathLike[str]) -> int:
    """Loads the weights of a run's newest intact checkpoint into a model.

    Args:
        model: A model of the run's configuration.
        directory: The run's folder.

    Returns:
        The step of the checkpoint.

    Raises:
        ValueError: If there is no checkpoint, or it is damaged or belongs to another
            model.
    """
    folder = pathlib.Path(directory) / "checkpoints"
    steps = _steps(folder)
    if not steps:
        raise ValueError(f"{directory} holds no checkpoint: has it been trained?")
    checkpoint = tf.train.Checkpoint(model=_variables(model))

    def read(path: pathlib.Path) -> None:
        _verify(path)
        status = checkpoint.read(os.fspath(path))
        status.assert_existing_objects_matched().expect_partial()

    path = fallback.newest([folder / f"ckpt-{step}" for step in steps], read)
    return int(path.name.rpartition("-")[2])


def _steps(directory: pathlib.Path) -> list[int]:
    """Returns the steps of the checkpoints in a folder, the newest last."""
    names = [path.name for path in directory.glob("ckpt-*")]
    steps = {int(match[1]) for name in names if (match := _NAME.fullmatch(name))}
    for name in names:
        match = _DATA.fullmatch(name)
        if match and int(match[1]) not in steps:
            print(f"{directory / name}: incomplete checkpoint", file=sys.stderr)
    return sorted(steps)


def _parts(path: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files of a checkpoint."""
    return [
        *sorted(path.parent.glob(f"{path.name}.data-*")),
        path.with_suffix(".index"),
    ]


def _verify(path: pathlib.Path) -> None:
    """Compares the files of a checkpoint with their checksums."""
    listed = path.with_suffix(".sha256")
    if not listed.is_file():
        return  # killed before they were written; TensorFlow has its own checksums
    checksums = json.loads(listed.read_text(encoding="utf-8"))
    if (
        not isinstance(checksums, dict)
        or path.with_suffix(".index").name not in checksums
    ):
        raise ValueError(f"{listed.name} holds no checksums")
    for name, expected in checksums.items():
        part = path.parent / name
        if part.parent != path.parent or not part.is_file():
            raise ValueError(f"{name} is missing")
        if sources.sha256(part) != expected:
            raise ValueError(f"the checksum of {name} differs from that when saved")


def _remove(path: pathlib.Path) -> None:
    """Removes a checkpoint."""
    for part in (*_parts(path), path.with_suffix(".sha256")):
        part.unlink(missing_ok=True)


def _variables(model: keras.Model) -> dict[str, Any]:
    """Returns the model's variables by their paths."""
    variables: dict[str, Any] = {}
    for variable in model.variables:
        path = variable.path
        if path.startswith("seed_generator"):  # its index counts over the process
            path = f"seed_generator/{len(variables)}"
        variables[path.replace("/", ".")] = variable.value
    return variables
