"""Weights and checkpoints as .npz files, arrays by name.

Nothing that is pickled is read, and sizes are compared with what they claim first.
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
    """Writes arrays by their names, whole or not at all."""
    with atomic.replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def load(path: str | os.PathLike[str]) -> Arrays:
    """Reads arrays by their names.

    Args:
        path: The file.

    Returns:
        Name → array.

    Raises:
        ValueError: If it cannot be read, or holds anything but arrays.
    """
    try:
        _check_sizes(path)
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except OSError as e:
        raise ValueError(f"{path} cannot be read: {e.strerror or e}") from e
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as e:
        raise ValueError(f"{path} is no .npz of arrays: {e}") from e


def save_model(model: keras.Model, path: str | os.PathLike[str], *, step: int) -> None:
    """Writes the weights of a model by their paths, and the "step" they are of."""
    weights = {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}
    save(path, {**weights, "step": np.int64(step)})


def load_model(model: keras.Model, path: str | os.PathLike[str]) -> int:
    """Loads every weight of a model, or none.

    Args:
        model: The model, built; on any backend of Keras.
        path: What `save_model` wrote.

    Returns:
        The step that the weights are of.

    Raises:
        ValueError: If the file cannot be read, a name, shape or type does not fit,
            or a weight is not finite.
    """
    found = load(path)
    check(found, {**{w.path: w.shape for w in model.weights}, "step": ()}, path)
    for weight in model.weights:
        array = found[weight.path]
        if array.dtype != np.float32:
            raise ValueError(f"{path}: {weight.path} is {array.dtype}, not float32")
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: {weight.path} holds NaN or infinity")
    for weight in model.weights:
        weight.assign(found[weight.path])
    return int(found["step"])


def load_weights(model: keras.Model, directory: str | os.PathLike[str]) -> int:
    """Loads the weights of the newest whole checkpoint of a run on JAX.

    Args:
        model: Of the run's configuration; on any backend of Keras.
        directory: The run's folder.

    Returns:
        The step of the checkpoint.

    Raises:
        ValueError: If there is no checkpoint, or it is of another model.
    """
    if not (paths := checkpoints(pathlib.Path(directory, "checkpoints"))):
        raise ValueError(f"{directory} holds no checkpoint: has it been trained?")

    def read(path: pathlib.Path) -> None:
        trained = "trainable/"
        found = {
            name.removeprefix(trained): array
            for name, array in load(path).items()
            if name.startswith(trained)
        }
        check(found, {w.path: w.shape for w in model.weights}, path)
        for weight in model.weights:
            weight.assign(found[weight.path])

    return step_of(fallback.newest(paths, read))


def checkpoints(directory: pathlib.Path) -> list[pathlib.Path]:
    """Returns the checkpoints of a run on JAX, the newest last."""
    return sorted(directory.glob("step-*.npz"), key=step_of)


def step_of(path: pathlib.Path) -> int:
    """Returns the step in the name of a checkpoint."""
    return int(path.stem.rpartition("-")[2])


def check(
    found: Mapping[str, npt.NDArray[Any]],
    wanted: Mapping[str, tuple[int, ...]],
    path: str | os.PathLike[str],
) -> None:
    """Checks that arrays are those of a model: no name or shape is another.

    Args:
        found: Name → array.
        wanted: Name → shape.
        path: The file, for the error.

    Raises:
        ValueError: If they are not; the first name that does not fit is told.
    """
    for name in wanted:
        if name not in found:
            raise ValueError(f"{path} does not fit the model: it lacks {name}")
    for name, array in found.items():
        if name not in wanted:
            raise ValueError(f"{path} does not fit the model, which has no {name}")
        if array.shape != tuple(wanted[name]):
            raise ValueError(
                f"{path} does not fit the model: {name} has shape {array.shape}, not"
                f" {tuple(wanted[name])}"
            )


def _check_sizes(path: str | os.PathLike[str]) -> None:
    """Refuses a .npz that would take more memory than it has bytes.

    Args:
        path: The file.

    Raises:
        ValueError: If an array is compressed, or has another size than its file says.
        OSError: If it cannot be read; also `zipfile.BadZipFile`.
    """
    try:
        _check_members(path)
    except RuntimeError as e:  # of what zipfile cannot read: encrypted, version 12.1
        raise ValueError(str(e)) from e


def _check_members(path: str | os.PathLike[str]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("it is compressed, which this package does not do")
        if sum(member.file_size for member in members) > os.path.getsize(path):
            raise ValueError("its arrays are larger than the file")
        for member in members:
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                if version not in _HEADERS:
                    raise ValueError(f"{member.filename[:60]!r} is no array")
                shape, _, dtype = _HEADERS[version](file)
                nbytes = math.prod(shape) * dtype.itemsize
                is_whole = file.tell() + nbytes == member.file_size
                if not is_whole and not dtype.hasobject:  # which NumPy refuses
                    raise ValueError(f"{member.filename[:60]!r} is not all there")
