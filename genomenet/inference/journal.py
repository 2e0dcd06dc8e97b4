"""Values that were computed for a file not yet complete, so that a run can go on.

A table appears when it is complete. What a model has computed for it until then is
appended to a hidden file beside it, a part at a time: the digest of the windows, and
their values. The same command, started again after it was killed, reads its input from
the start, takes the values of parts whose windows have the same digest, and computes
the rest.
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

_PART: Final = struct.Struct("<32sQI")  # digest of windows, bytes, their checksum


class Journal:
    """The values computed so far for one output.

    Used as a context: a part that is whole stays if the process is killed or
    interrupted; the file goes when the block ends, well or with an error.

    Args:
        output: The file that the values are for.
        identity: What the values depend on beside the windows. Values of another
            identity are not taken.
        say: Called with one line where values are taken.
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
        self._is_old = False
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
        """Returns the values of some windows: those of the journal, or computed.

        Args:
            windows: Codes, uint8, (L,) each, in the order of the input.
            compute: Returns their values, an array of any shape.
        """
        if self._file is None:
            return compute()
        digest = hashlib.sha256()
        for codes in windows:
            digest.update(len(codes).to_bytes(8, "little"))
            digest.update(codes.tobytes())
        found = self._next(digest.digest()) if self._is_old else None
        if found is not None:
            self._taken += len(windows)
            return found
        values = np.ascontiguousarray(compute())
        packed = io.BytesIO()
        np.lib.format.write_array(packed, values, allow_pickle=False)
        content = packed.getvalue()
        self._append(_PART.pack(digest.digest(), len(content), zlib.crc32(content)))
        self._append(content)
        return values

    def _next(self, digest: bytes) -> npt.NDArray[np.float32] | None:
        """Returns the next part, or cuts off what is left if it is not of `digest`."""
        file = self._file
        start = file.tell()
        head = file.read(_PART.size)
        if len(head) == _PART.size:
            of, size, checksum = _PART.unpack(head)
            if of == digest and size <= os.fstat(file.fileno()).st_size:
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
                f"going on: {self._taken:,} windows were computed before, for"
                f" {self._output}"
            )
        return None

    def _append(self, content: bytes) -> None:
        """Appends to the file; what a full disk cut short is not a whole part."""
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as e:
            if e.errno in (errno.ENOSPC, errno.EDQUOT):
                e.filename = os.fspath(self._output)
            raise


def identity_of(model: Any, **options: Any) -> dict[str, Any]:
    """Returns what the values of a model depend on.

    Args:
        model: An encoder or classifier.
        **options: How it is applied.
    """
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.asarray(weight).tobytes())
    encoder = getattr(model, "encoder", None)
    configs = [repr(model.config), repr(getattr(encoder, "config", None))]
    return {"model": configs, "weights": digest.hexdigest(), **options}
