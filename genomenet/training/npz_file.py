"""Sizes of .npz files, compared with what they claim before they are read."""

from __future__ import annotations

import math
import os
import zipfile
from typing import Final

import numpy as np

_HEADERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def check_sizes(path: str | os.PathLike[str]) -> None:
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
