"""Journals of computed values, so that an interrupted run can resume.

An output table appears when it is complete. Until then, the values that the model
computes are appended to a hidden file in the same folder, one part at a time: the
digest of the windows and their values. When the same command is started again after it
was killed, it reads its input from the start, takes the values of parts whose windows
have the same digest, and computes the rest.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pathlib
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import atomic

_PART: Final = struct.Struct("<32sQI")  # digest of windows, number of bytes, CRC-32


class Journal:
    """The values computed so far for one output.

    A context manager. Complete parts are kept if the process is killed or interrupted.
    The file is removed when the block ends normally or with an error.

    Args:
        output: The output file of the values.
        identity: Everything the values depend on besides the windows. A journal of
            another identity is discarded.
        say: Called with one line after values were reused.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        identity: Mapping[str, Any],
        say: Callable[[str], None],
    ):
        output = pathlib.Path(output)
        self._path = output.with_name(f".{output.name[:100]}.journal")
        self._output = output
        text = json.dumps(identity, sort_keys=True, default=str)
        self._identity = hashlib.sha256(text.encode()).digest()
        self._say = say
        self._file: Any = None
        self._is_old = False  # whether the next part may come from an earlier run
        self._taken = 0

    def __enter__(self) -> Journal:
        file = self._path.open("a+b")
        if not atomic.lock(file):  # another process writes the same output
            file.close()
            return self
        file.seek(0)
        self._is_old = file.read(len(self._identity)) == self._identity
        self._file = file
        if not self._is_old:
            file.truncate(0)
            self._append(self._identity)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._file is not None:
            if kind is None or issubclass(kind, Exception):
                self._path.unlink(missing_ok=True)
            self._file.close()

    def values(
        self,
        windows: Sequence[npt.NDArray[np.uint8]],
        compute: Callable[[], npt.NDArray[np.float32]],
    ) -> npt.NDArray[np.float32]:
        """Returns the values of some windows, from the journal or computed.

        Args:
            windows: Codes, uint8, (L,) each, in the order of the input.
            compute: Function that computes their values, an array of any shape.
        """
        if self._file is None:
            return compute()
        digest = hashlib.sha256()
        for codes in windows:
            digest.update(len(codes).to_bytes(8, "little"))
            digest.update(codes.tobytes())
        stored = self._next(digest.digest()) if self._is_old else None
        if stored is not None:
            self._taken += len(windows)
            return stored
        values = np.ascontiguousarray(compute())
        packed = io.BytesIO()
        np.lib.format.write_array(packed, values, allow_pickle=False)
        content = packed.getvalue()
        self._append(_PART.pack(digest.digest(), len(content), zlib.crc32(content)))
        self._append(content)
        return values

    def _next(self, digest: bytes) -> npt.NDArray[np.float32] | None:
        """Returns the next part if it has this digest, else truncates the file."""
        file = self._file
        start = file.tell()
        head = file.read(_PART.size)
        if len(head) == _PART.size:
            part_digest, size, checksum = _PART.unpack(head)
            if part_digest == digest and size <= os.fstat(file.fileno()).st_size:
                content = file.read(size)
                if len(content) == size and zlib.crc32(content) == checksum:
                    return np.lib.format.read_array(
                        io.BytesIO(content), allow_pickle=False
                    )
        file.truncate(start)
        file.seek(start)
        self._is_old = False
        if self._taken:
            self._say(
                f"resuming: {self._taken:,} windows of {self._output} were computed"
                " before"
            )
        return None

    def _append(self, content: bytes) -> None:
        """Appends to the file; a part truncated by a full disk is ignored later."""
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as e:
            if e.errno in (errno.ENOSPC, errno.EDQUOT):
                e.filename = os.fspath(self._output)
            raise


def identity_of(model: Any, **options: Any) -> dict[str, Any]:
    """Returns the configs, a digest of the weights and the options of a model.

    Args:
        model: An encoder or classifier.
        **options: How the model is applied.
    """
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.asarray(weight).tobytes())
    encoder = getattr(model, "encoder", None)
    configs = [repr(model.config), repr(getattr(encoder, "config", None))]
    return {"model": configs, "weights": digest.hexdigest(), **options}
