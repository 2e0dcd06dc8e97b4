"""Reads tensors from PyTorch files without running pickled code.

A pickle can call any function and allocate any amount of memory. This module supports
only the operations that are needed for a dict of tensors. Names are looked up in a
short table of harmless stand-ins; any other name is an error. Every size is compared
with the size of the file before memory is allocated.
"""

from __future__ import annotations

import io
import math
import os
import pathlib
import pickle
import pickletools
import struct
import zipfile
from typing import Any, Final, NamedTuple

import ml_dtypes
import numpy as np

from genomenet import json_file

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
_PICKLE_START: Final = b"\x80\x02"  # first bytes of every pickle of protocol 2
_MOST_OPERATIONS: Final = 1_000_000  # in a pickle; a tensor takes about 30
_MOST_AXES: Final = 32
_MOST_COPIES: Final = 4  # total tensor bytes per file byte; tied weights share storage


class _Dtype(NamedTuple):
    dtype: np.dtype


class _Storage(NamedTuple):
    """Reference to the stored values of a tensor."""

    dtype: np.dtype
    key: str
    size: int


class _Tensor(NamedTuple):
    """Description of a tensor, before its values are read."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the tensors of a state dict.

    Args:
        path: A file of `torch.save`, in the current format (a zip archive) or in the
            format before PyTorch 1.6.

    Returns:
        Name → array.

    Raises:
        ValueError: If the file is damaged, or contains anything but a dict of tensors.
    """
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        return _read_legacy(path)
    except Exception as e:  # damaged pickles raise various types
        raise ValueError(
            f"{os.fspath(path)} cannot be read as a PyTorch file: {_cause(e)}"
        ) from e


def _cause(error: Exception) -> str:
    """Returns the message of an error on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return json_file.printable(text)


class _Unpickler:
    """Reads the pickles of a file one after the other, with stand-ins only.

    Args:
        file: File in memory, so that reads cannot exceed its size.
    """

    def __init__(self, file: io.BytesIO):
        self._file = file
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """Returns the content of the next pickle."""
        self._stack, self._marks, self._memo = [], [], {}
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self._file)):
            if count == _MOST_OPERATIONS:
                raise pickle.UnpicklingError(
                    f"it has more than {_MOST_OPERATIONS:,} operations"
                )
            name = opcode.name
            if name == "STOP":
                return self._stack.pop()
            if name in _CONSTANTS:
                self._stack.append(argument)
            elif name in _EMPTY:
                self._stack.append(_EMPTY[name]())
            elif name in _PUTS:
                key = len(self._memo) if argument is None else argument
                self._memo[key] = self._stack[-1]
            elif name in _GETS:
                self._stack.append(self._memo[int(argument or 0)])
            elif name not in ("PROTO", "FRAME"):
                self._execute(name, argument)
        raise pickle.UnpicklingError("it ends early")

    def _execute(self, name: str, argument: Any) -> None:
        """Executes an operation that takes arguments from the stack."""
        stack = self._stack
        if name == "MARK":
            self._marks.append(len(stack))
        elif name == "POP":
            stack.pop()
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(self._take(int(name[-1]))))
        elif name in ("TUPLE", "LIST"):
            values = self._take_marked()
            stack.append(tuple(values) if name == "TUPLE" else values)
        elif name in ("APPEND", "APPENDS"):
            values = self._take(1) if name == "APPEND" else self._take_marked()
            _expect(stack[-1], list).extend(values)
        elif name in ("SETITEM", "SETITEMS", "DICT"):
            values = self._take(2) if name == "SETITEM" else self._take_marked()
            if name == "DICT":
                stack.append({})
            pairs = zip(values[::2], values[1::2], strict=True)
            _expect(stack[-1], dict).update(_dict(pairs))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "GLOBAL":
            stack.append(_named(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            stack.append(_named(*self._take(2)))
        elif name == "REDUCE":
            function, arguments = self._take(2)
            if function not in (_dict, _rebuild_tensor, _rebuild_parameter):
                raise pickle.UnpicklingError("it calls an unsupported object")
            stack.append(function(*_expect(arguments, tuple)))
        elif name == "BUILD":  # attributes of the state dict: versions of its modules
            stack.pop()
            _expect(stack[-1], dict)
        else:
            raise pickle.UnpicklingError(
                f"it contains the unsupported operation {name}"
            )

    def _take(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise pickle.UnpicklingError("it takes more values than are on the stack")
        taken = self._stack[-count:]
        del self._stack[-count:]
        return taken

    def _take_marked(self) -> list[Any]:
        mark = self._marks.pop()
        taken = self._stack[mark:]
        del self._stack[mark:]
        return taken


def _expect(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise pickle.UnpicklingError(
            f"it has a {type(value).__name__} instead of a {kind.__name__}"
        )
    return value


def _named(module: Any, name: Any) -> Any:
    """Returns the stand-in for a name in a pickle."""
    if (module, name) == ("collections", "OrderedDict"):
        return _dict
    if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
        return _rebuild_tensor
    if (module, name) == ("torch._utils", "_rebuild_parameter"):
        return _rebuild_parameter
    if module == "torch" and isinstance(name, str) and name in _DTYPES:
        return _Dtype(_DTYPES[name])
    text = f"{_expect(module, str)}.{_expect(name, str)}"[:100]
    raise pickle.UnpicklingError(f"it refers to {text}, which is not a tensor")


def _dict(pairs: Any = ()) -> dict[Any, Any]:
    """Creates a dict with simple keys; hashing a nested tuple could take forever."""
    result = {}
    for key, value in pairs:
        if not isinstance(key, str | int):
            raise pickle.UnpicklingError(f"a key has the type {type(key).__name__}")
        result[key] = value
    return result


def _storage(pid: Any) -> _Storage:
    kind, dtype, key, _, size = _expect(pid, tuple)[:5]
    if kind != "storage" or not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("it has an unknown persistent reference")
    if len(pid) > 5 and pid[5] is not None:
        raise pickle.UnpicklingError("it has a view of another storage")
    return _Storage(dtype.dtype, _expect(key, str), _expect(size, int))


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: Any, strides: Any, *unused: Any
) -> _Tensor:
    del unused  # whether it needs a gradient, hooks
    shape, strides = tuple(shape), tuple(strides)
    for number in (offset, *shape, *strides):
        if not 0 <= _expect(number, int) < 1 << 63:
            raise pickle.UnpicklingError(f"a tensor has the size {str(number)[:20]}")
    if len(shape) != len(strides) or len(shape) > _MOST_AXES:
        raise pickle.UnpicklingError(
            f"a tensor has {len(shape)} axes and {len(strides)} strides"
        )
    return _Tensor(_expect(storage, _Storage), offset, shape, strides)


def _rebuild_parameter(data: _Tensor, *unused: Any) -> _Tensor:
    del unused
    return _expect(data, _Tensor)


_CONSTANTS: Final = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG"),
    *("BINFLOAT", "FLOAT", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
)
_EMPTY: Final[dict[str, Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_PUTS: Final = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_GETS: Final = ("GET", "BINGET", "LONG_BINGET")


def _read_zip(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    size = os.path.getsize(path)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise pickle.UnpicklingError(
                    f"{info.filename[:60]!r} is compressed or encrypted, which PyTorch"
                    " never does"
                )
        if sum(info.file_size for info in archive.infolist()) > size:
            raise pickle.UnpicklingError("its members are larger than the file")
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise pickle.UnpicklingError(
                f"the zip archive has {len(pickles)} files data.pkl instead of one"
            )
        index = pickles[0]
        root = index.removesuffix("data.pkl")
        order = f"{root}byteorder"
        if order in names and archive.read(order) != b"little":
            raise pickle.UnpicklingError("its values are big-endian")
        content = _state_dict(_Unpickler(io.BytesIO(archive.read(index))).load())
        keys = {tensor.storage.key for tensor in content.values()}
        data = {key: archive.read(f"{root}data/{key}") for key in keys}
        return _tensors(content, data, size)


def _read_legacy(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    whole = pathlib.Path(path).read_bytes()
    if whole[:2] != _PICKLE_START:
        raise pickle.UnpicklingError("it is neither a zip archive nor a pickle")
    file = io.BytesIO(whole)
    unpickler = _Unpickler(file)
    magic = unpickler.load()
    if not isinstance(magic, int) or magic != _LEGACY_MAGIC:
        raise pickle.UnpicklingError("it does not start like a PyTorch file")
    unpickler.load()  # the version of the format
    if not _expect(unpickler.load(), dict).get("little_endian", True):
        raise pickle.UnpicklingError("its values are big-endian")
    content = _state_dict(unpickler.load())
    keys = _expect(unpickler.load(), list)
    storages = {t.storage.key: t.storage for t in content.values()}
    data: dict[str, Any] = {}
    for key in keys:
        [size] = struct.unpack("<q", file.read(8))
        begin = file.tell()
        end = begin + size * storages[_expect(key, str)].dtype.itemsize
        if not begin <= end <= len(whole) or key in data:
            raise pickle.UnpicklingError("its values are truncated or repeated")
        data[key] = memoryview(whole)[begin:end]
        file.seek(end)
    return _tensors(content, data, len(whole))


def _state_dict(content: Any) -> dict[str, _Tensor]:
    """Returns the dict of tensors in the content of a pickle."""
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise pickle.UnpicklingError("it contains no dict of tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, _Tensor):
            raise pickle.UnpicklingError(f"{str(name)[:60]!r} is not a tensor")
    return dict(content)


def _tensors(
    content: dict[str, _Tensor], data: dict[str, Any], size: int
) -> dict[str, np.ndarray]:
    """Reads tensors as views of their storages; only transposed ones are copied."""
    arrays, total = {}, 0
    for name, tensor in content.items():
        storage = tensor.storage
        flat = np.frombuffer(data[storage.key], storage.dtype)
        if len(flat) != storage.size:
            raise pickle.UnpicklingError(
                f"{name!r} has {len(flat)} values instead of {storage.size}"
            )
        last = tensor.offset + sum(
            (n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True)
        )
        count = math.prod(tensor.shape)
        if count and (last >= len(flat) or count > len(flat)):
            raise pickle.UnpicklingError(f"{name!r} exceeds its storage")
        total += count * flat.itemsize
        if total > _MOST_COPIES * size:
            raise pickle.UnpicklingError("its tensors are larger than the file")
        strides = [step * flat.itemsize for step in tensor.strides]
        view = np.lib.stride_tricks.as_strided(
            flat[tensor.offset :], tensor.shape, strides, writeable=False
        )
        arrays[name] = np.ascontiguousarray(view).reshape(tensor.shape)
    return arrays
