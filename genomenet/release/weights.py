"""Files of weights, looked at with h5py before Keras reads them."""

from __future__ import annotations

import collections
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import h5py
import numpy as np
from h5py import h5o  # pyright: ignore[reportAttributeAccessIssue]

from genomenet import json_file
from genomenet.data import sources

_DTYPE: Final = np.dtype("float32")
_MOST_NAMED: Final = 3


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns what `config.json` says of a file of weights: its size and SHA-256."""
    path = pathlib.Path(path)
    return {"size": path.stat().st_size, "sha256": sources.sha256(path)}


def check_digest(path: pathlib.Path, described: Mapping[str, Any]) -> None:
    """Refuses a file of weights that is not the one that was released.

    Args:
        path: The file.
        described: What `describe` returned of it.

    Raises:
        ValueError: If size or SHA-256 differ, or the file cannot be read.
    """
    try:
        found = describe(path)
    except OSError as e:
        raise ValueError(f"{path} cannot be read: {e.strerror}") from e
    for key, unit in (("size", " bytes"), ("sha256", "")):
        if found[key] != described[key]:
            raise ValueError(
                f"{path} does not fit the model: its {key} is {found[key]}{unit}, not"
                f" {described[key]} as config.json says: it is damaged or another"
                " file; copy it again"
            )


def read_shapes(path: pathlib.Path) -> dict[str, tuple[int, ...]]:
    """Lists the weights of a file without reading a number of them.

    Args:
        path: A `.weights.h5` file of Keras.

    Returns:
        Path of the array in the file → shape.

    Raises:
        ValueError: If the file is damaged, or holds anything but arrays of float32
            that lie in it whole and as they are.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    size, found = path.stat().st_size, {}
    try:
        with h5py.File(path, "r") as file:
            for name, dataset in _datasets(file):
                _check_dataset(name, dataset)
                found[name] = tuple(dataset.shape)
                if 4 * sum(map(math.prod, found.values())) > size:
                    raise _RefusedError(f"{name!r} is larger than the file")
    except Exception as e:  # whatever HDF5 trips over
        raise ValueError(f"{path} does not fit the model: {_cause(e)}") from e
    return found


def check(path: pathlib.Path, expected: list[tuple[str, tuple[int, ...]]]) -> None:
    """Refuses a file that does not hold exactly the weights of a model.

    With as many arrays as the model has weights, of the same shapes, none is left
    over once Keras has loaded each weight from an array of its own.

    Args:
        path: A `.weights.h5` file of Keras.
        expected: Path and shape of each weight of the model.

    Raises:
        ValueError: If a weight is missing, left over, misshapen or not finite.
    """
    shapes = read_shapes(path)
    wanted = collections.Counter(shape for _, shape in expected)
    left = []
    for name, shape in sorted(shapes.items()):
        wanted[shape] -= 1
        if wanted[shape] < 0:
            left.append(f"{name} {shape}")
    missing = [f"{name} {shape}" for name, shape in expected if wanted[shape] > 0]
    for names, reason in ((left, "left over"), (missing, "it lacks")):
        if names:
            more = "" if len(names) <= _MOST_NAMED else f" and {len(names) - 3} more"
            named = json_file.printable(", ".join(names[:_MOST_NAMED]))
            raise ValueError(f"{path} does not fit the model: {reason}: {named}{more}")
    try:
        with h5py.File(path, "r") as file:
            for name in shapes:
                if not np.isfinite(np.asarray(file[name])).all():
                    raise _RefusedError(f"{name!r} holds NaN or infinity")
    except Exception as e:
        raise ValueError(f"{path} does not fit the model: {_cause(e)}") from e


class _RefusedError(Exception):
    """Of a file that HDF5 can read."""


def _cause(error: Exception) -> str:
    """Returns what an error says, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = json_file.printable(text)
    return text if isinstance(error, _RefusedError) else f"it is damaged ({text})"


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """Yields path and dataset; refuses links and what is no array."""
    todo, seen = [("", file)], set()
    while todo:
        prefix, group = todo.pop()
        for key in group:
            name = f"{prefix}{key}"
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise _RefusedError(f"{name!r} is a link, not an array")
            item = group[key]
            address = h5o.get_info(item.id).addr
            if address in seen:
                raise _RefusedError(f"{name!r} is there under another name, too")
            seen.add(address)
            if isinstance(item, h5py.Group):
                todo.append((f"{name}/", item))
            elif isinstance(item, h5py.Dataset):
                yield name, item
            else:
                raise _RefusedError(f"{name!r} is no array")


def _check_dataset(name: str, dataset: Any) -> None:
    dtype = dataset.dtype
    if dtype != _DTYPE:
        kind = "whole numbers" if dtype.kind in "iub" else f"values of type {dtype}"
        raise _RefusedError(f"{name!r} holds {kind}; weights are float32")
    if dataset.shape is None:
        raise _RefusedError(f"{name!r} is empty")
    properties = dataset.id.get_create_plist()
    is_plain = (
        properties.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
        and properties.get_external_count() == 0
    )
    if not is_plain:
        raise _RefusedError(
            f"{name!r} is compressed, in pieces or in another file; Keras writes each"
            " array whole"
        )
    stored, nbytes = dataset.id.get_storage_size(), 4 * math.prod(dataset.shape)
    if stored != nbytes:
        raise _RefusedError(f"{name!r} takes {stored} bytes of {nbytes}")
