"""Checks weight files with h5py before Keras reads them."""

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
    """Returns the size and SHA-256 of a weight file, as stored in `config.json`."""
    path = pathlib.Path(path)
    return {"size": path.stat().st_size, "sha256": sources.sha256(path)}


def check_digest(path: pathlib.Path, described: Mapping[str, Any]) -> None:
    """Raises if a weight file differs from the released one.

    Args:
        path: The file.
        described: Result of `describe` for the released file.

    Raises:
        ValueError: If size or SHA-256 differ, or the file cannot be read.
    """
    try:
        actual = describe(path)
    except OSError as e:
        raise ValueError(f"{path} cannot be read: {e.strerror}") from e
    for key, unit in (("size", " bytes"), ("sha256", "")):
        if actual[key] != described[key]:
            raise ValueError(
                f"{path} does not match the model: its {key} is {actual[key]}{unit},"
                f" but config.json has {described[key]}: it is damaged or another file;"
                " copy it again"
            )


def read_shapes(path: pathlib.Path) -> dict[str, tuple[int, ...]]:
    """Lists the shapes of the weights in a file without reading their values.

    Args:
        path: A `.weights.h5` file of Keras.

    Returns:
        Path of the array in the file → shape.

    Raises:
        ValueError: If the file is damaged, or contains anything but contiguous,
            uncompressed float32 arrays.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    size, shapes = path.stat().st_size, {}
    try:
        with h5py.File(path, "r") as file:
            for name, dataset in _datasets(file):
                _check_dataset(name, dataset)
                shapes[name] = tuple(dataset.shape)
                if 4 * sum(map(math.prod, shapes.values())) > size:
                    raise _RefusedError(f"{name!r} is larger than the file")
    except Exception as e:  # HDF5 raises various types
        raise ValueError(f"{path} does not match the model: {_cause(e)}") from e
    return shapes


def check(path: pathlib.Path, expected: list[tuple[str, tuple[int, ...]]]) -> None:
    """Raises if a file does not contain exactly the weights of a model.

    If the file has as many arrays as the model has weights, with the same shapes, no
    array is unused after Keras has loaded each weight from its own array.

    Args:
        path: A `.weights.h5` file of Keras.
        expected: Path and shape of each weight of the model.

    Raises:
        ValueError: If a weight is missing, unexpected, of the wrong shape or not
            finite.
    """
    shapes = read_shapes(path)
    wanted = collections.Counter(shape for _, shape in expected)
    unexpected = []
    for name, shape in sorted(shapes.items()):
        wanted[shape] -= 1
        if wanted[shape] < 0:
            unexpected.append(f"{name} {shape}")
    missing = [f"{name} {shape}" for name, shape in expected if wanted[shape] > 0]
    for names, reason in ((unexpected, "unexpected"), (missing, "missing")):
        if names:
            more = "" if len(names) <= _MOST_NAMED else f" and {len(names) - 3} more"
            named = json_file.printable(", ".join(names[:_MOST_NAMED]))
            raise ValueError(
                f"{path} does not match the model: {reason}: {named}{more}"
            )
    try:
        with h5py.File(path, "r") as file:
            for name in shapes:
                if not np.isfinite(np.asarray(file[name])).all():
                    raise _RefusedError(f"{name!r} contains NaN or infinity")
    except Exception as e:
        raise ValueError(f"{path} does not match the model: {_cause(e)}") from e


class _RefusedError(Exception):
    """Raised for invalid content of a file that HDF5 can read."""


def _cause(error: Exception) -> str:
    """Returns the message of an error on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = json_file.printable(text)
    return text if isinstance(error, _RefusedError) else f"it is damaged ({text})"


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """Yields path and dataset of each array; raises on links and other objects."""
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
                raise _RefusedError(f"{name!r} also occurs under another name")
            seen.add(address)
            if isinstance(item, h5py.Group):
                todo.append((f"{name}/", item))
            elif isinstance(item, h5py.Dataset):
                yield name, item
            else:
                raise _RefusedError(f"{name!r} is not an array")


def _check_dataset(name: str, dataset: Any) -> None:
    dtype = dataset.dtype
    if dtype != _DTYPE:
        kind = "integers" if dtype.kind in "iub" else f"values of type {dtype}"
        raise _RefusedError(f"{name!r} contains {kind}; weights must be float32")
    if dataset.shape is None:
        raise _RefusedError(f"{name!r} is empty")
    properties = dataset.id.get_create_plist()
    is_plain = (
        properties.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
        and properties.get_external_count() == 0
    )
    if not is_plain:
        raise _RefusedError(
            f"{name!r} is compressed, chunked or stored in another file; Keras writes"
            " contiguous arrays"
        )
    stored, nbytes = dataset.id.get_storage_size(), 4 * math.prod(dataset.shape)
    if stored != nbytes:
        raise _RefusedError(f"{name!r} has {stored} bytes, not {nbytes}")
