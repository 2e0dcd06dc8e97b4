"""Weights and checkpoints as .npz files, arrays by name.

Pickled data is never read, and claimed sizes are checked before any array is loaded.
"""

from __future__ import annotations

import math
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt

from genomenet import atomic
from genomenet.training import fallback

Arrays = dict[str, npt.NDArray[Any]]

_HEADERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def save(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name; the file appears complete or not at all."""
    with atomic.replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def load(path: str | os.PathLike[str]) -> Arrays:
    """Reads arrays by name.

    Args:
        path: The file.

    Returns:
        Name → array.

    Raises:
        ValueError: If the file cannot be read, or holds anything but arrays.
    """
    try:
        _check_sizes(path)
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except OSError as e:
        raise ValueError(f"{path} cannot be read: {e.strerror or e}") from e
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as e:
        raise ValueError(f"{path} is not an .npz file of arrays: {e}") from e


def save_model(model: keras.Model, path: str | os.PathLike[str], *, step: int) -> None:
    """Writes the weights of a model by path, and their training step as "step"."""
    weights = {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}
    save(path, {**weights, "step": np.int64(step)})


def load_model(model: keras.Model, path: str | os.PathLike[str]) -> int:
    """Loads all weights of a model, or none if any is invalid.

    Args:
        model: The model, built; on any backend of Keras.
        path: A file that `save_model` wrote.

    Returns:
        The training step of the weights.

    Raises:
        ValueError: If the file cannot be read, a name, shape or type does not match,
            or a weight is not finite.
    """
    arrays = load(path)
    check(arrays, {**{w.path: w.shape for w in model.weights}, "step": ()}, path)
    for weight in model.weights:
        array = arrays[weight.path]
        if array.dtype != np.float32:
            raise ValueError(f"{path}: {weight.path} is {array.dtype}, not float32")
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: {weight.path} holds NaN or infinity")
    for weight in model.weights:
        weight.assign(arrays[weight.path])
    return int(arrays["step"])


def load_weights(model: keras.Model, directory: str | os.PathLike[str]) -> int:
    """Loads the weights of the newest intact checkpoint of a run on JAX.

    Args:
        model: A model of the run's configuration; on any backend of Keras.
        directory: The run's folder.

    Returns:
        The step of the checkpoint.

    Raises:
        ValueError: If there is no checkpoint, or it belongs to another model.
    """
    if not (paths := checkpoints(pathlib.Path(directory, "checkpoints"))):
        raise ValueError(f"{directory} holds no checkpoint: has it been trained?")

    def read(path: pathlib.Path) -> None:
        prefix = "trainable/"
        arrays = {
            name.removeprefix(prefix): array
            for name, array in load(path).items()
            if name.startswith(prefix)
        }
        check(arrays, {w.path: w.shape for w in model.weights}, path)
        for weight in model.weights:
            weight.assign(arrays[weight.path])

    return step_of(fallback.newest(paths, read))


def checkpoints(directory: pathlib.Path) -> list[pathlib.Path]:
    """Returns the checkpoints of a run on JAX, the newest last."""
    return sorted(directory.glob("step-*.npz"), key=step_of)


def step_of(path: pathlib.Path) -> int:
    """Returns the step in the name of a checkpoint."""
    return int(path.stem.rpartition("-")[2])


def check(
    arrays: Mapping[str, npt.NDArray[Any]],
    wanted: Mapping[str, tuple[int, ...]],
    path: str | os.PathLike[str],
) -> None:
    """Checks that the names and shapes of arrays are those of a model.

    Args:
        arrays: Name → array, as read.
        wanted: Name → shape, as expected.
        path: The file, for the error.

    Raises:
        ValueError: If they differ; the message names the first mismatch.
    """
    for name in wanted:
        if name not in arrays:
            raise ValueError(f"{path} does not fit the model: it lacks {name}")
    for name, array in arrays.items():
        if name not in wanted:
            raise ValueError(f"{path} does not fit the model, which has no {name}")
        if array.shape != tuple(wanted[name]):
            raise ValueError(
                f"{path} does not fit the model: {name} has shape {array.shape}, not"
                f" {tuple(wanted[name])}"
            )


def _check_sizes(path: str | os.PathLike[str]) -> None:
    """Rejects an .npz file that would take more memory than its size on disk.

    Args:
        path: The file.

    Raises:
        ValueError: If an array is compressed, or its size differs from its header.
        OSError: If the file cannot be read; also `zipfile.BadZipFile`.
    """
    try:
        _check_entries(path)
    except RuntimeError as e:  # zipfile: encrypted, or version 12.1
        raise ValueError(str(e)) from e


def _check_entries(path: str | os.PathLike[str]) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed; save it without compression")
        if sum(entry.file_size for entry in entries) > os.path.getsize(path):
            raise ValueError("its arrays are larger than the file")
        for entry in entries:
            with archive.open(entry) as file:
                version = np.lib.format.read_magic(file)
                if version not in _HEADERS:
                    raise ValueError(f"{entry.filename[:60]!r} is not an array")
                shape, _, dtype = _HEADERS[version](file)
                nbytes = math.prod(shape) * dtype.itemsize
                is_whole = file.tell() + nbytes == entry.file_size
                if not is_whole and not dtype.hasobject:  # NumPy rejects
                    raise ValueError(f"{entry.filename[:60]!r} has a wrong size")
