"""Tensors out of PyTorch's files, without running what is pickled in them.

A pickle may name any function and have it called. Here names are looked up in one
short table of harmless stand-ins; a name that is not in it is an error.
"""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import zipfile
from typing import Any, Final, NamedTuple

import ml_dtypes
import numpy as np

_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
_DTYPES: Final = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("|i1"),
    "ByteStorage": np.dtype("|u1"),
    "BoolStorage": np.dtype("|b1"),
}
_PICKLE_START: Final = b"\x80\x02"  # how every pickle of protocol 2 begins


class _Dtype(NamedTuple):
    dtype: np.dtype


class _Storage(NamedTuple):
    """Where a tensor's numbers lie."""

    dtype: np.dtype
    key: str
    size: int


class _Tensor(NamedTuple):
    """What a tensor is made of, before its numbers are read."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the tensors of a state dict.

    Args:
        path: A file of `torch.save`, in the format of today (a zip archive) or in
            that before PyTorch 1.6.

    Returns:
        Name → array.

    Raises:
        ValueError: If the file is damaged, or holds anything but a dict of tensors.
    """
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        return _read_legacy(path)
    except Exception as e:  # whatever a damaged pickle trips over
        raise ValueError(
            f"{os.fspath(path)} cannot be read as PyTorch's: {_cause(e)}"
        ) from e


def _cause(error: Exception) -> str:
    """Returns what an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


class _Unpickler(pickle.Unpickler):
    """Reads a pickle with nothing but stand-ins."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _rebuild_parameter
        if module == "torch" and name in _DTYPES:
            return _Dtype(_DTYPES[name])
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not a tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, size = pid[:5]
        if kind != "storage" or not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError(f"unknown reference {kind!r}")
        if len(pid) > 5 and pid[5] is not None:
            raise pickle.UnpicklingError("a view of another storage")
        return _Storage(dtype.dtype, str(key), int(size))


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: Any, strides: Any, *unused: Any
) -> _Tensor:
    del unused  # whether it needs a gradient, hooks
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(data: _Tensor, *unused: Any) -> _Tensor:
    del unused
    return data


def _read_zip(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        found = [name for name in names if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise pickle.UnpicklingError("a zip archive without one data.pkl")
        index = found[0]
        root = index.removesuffix("data.pkl")
        order = f"{root}byteorder"
        if order in names and archive.read(order) != b"little":
            raise pickle.UnpicklingError("its numbers are big-endian")
        content = _Unpickler(io.BytesIO(archive.read(index))).load()
        return _tensors(content, lambda s: archive.read(f"{root}data/{s.key}"))


def _read_legacy(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    with open(path, "rb") as file:
        if file.read(2) != _PICKLE_START:
            raise pickle.UnpicklingError("it is neither a zip archive nor a pickle")
        file.seek(0)
        if _Unpickler(file).load() != _LEGACY_MAGIC:
            raise pickle.UnpicklingError("it does not begin as PyTorch's files do")
        _Unpickler(file).load()  # the version of the format
        if not _Unpickler(file).load().get("little_endian", True):
            raise pickle.UnpicklingError("its numbers are big-endian")
        content = _Unpickler(file).load()
        keys = _Unpickler(file).load()
        storages = {t.storage.key: t.storage for t in _found(content).values()}
        data = {}
        for key in keys:
            [size] = struct.unpack("<q", file.read(8))
            width = storages[key].dtype.itemsize
            data[key] = file.read(size * width)
        return _tensors(content, lambda s: data[s.key])


def _found(content: Any) -> dict[str, _Tensor]:
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise pickle.UnpicklingError("it holds no dict of tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, _Tensor):
            raise pickle.UnpicklingError(f"{name!r} is not a tensor")
    return dict(content)


def _tensors(content: Any, read_storage: Any) -> dict[str, np.ndarray]:
    found = {}
    for name, tensor in _found(content).items():
        flat = np.frombuffer(read_storage(tensor.storage), tensor.storage.dtype)
        last = tensor.offset + sum(
            (n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True)
        )
        if min((*tensor.shape, *tensor.strides, tensor.offset, 0)) < 0 or (
            0 not in tensor.shape and last >= len(flat)
        ):
            raise pickle.UnpicklingError(f"{name!r} reaches beyond its numbers")
        strides = [step * flat.itemsize for step in tensor.strides]
        view = np.lib.stride_tricks.as_strided(
            flat[tensor.offset :], tensor.shape, strides, writeable=False
        )
        found[name] = np.ascontiguousarray(view).reshape(tensor.shape)
    return found
