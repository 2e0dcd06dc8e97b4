"""Stores the chunks of a prepared genome at 2 bits per base in a memory-mapped file.

Training reads this file on every backend. It is a cache of the TFRecord shards, which
stay the format of record. NumPy only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, Self

import numpy as np
import numpy.typing as npt

from genomenet import atomic
from genomenet.data import sources
from genomenet.dna import alphabet, packed

Example = tuple[str, dict[str, Any]]

FILE: Final = "packed.npz"
_FORMAT: Final = 2  # 1 is a packed genome without chunks
_ARRAYS: Final = ("codes", "n_runs", "contig", "start", "length", "split", "position")
_SMALL: Final = 1 << 27  # bytes of a file that is always read whole
_HEAD: Final = 1 << 16  # bytes of an array that is read, not mapped
_BLOCK: Final = 1 << 24  # bytes copied at once


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PackedChunks:
    """Chunks ordered by the name of their contig and their start.

    Attributes:
        genome: Bases of the chunks.
        splits: Names of the splits.
        contigs: Names of the contigs, sorted.
        contig: Index of each chunk's contig, int64, (C,).
        start: First base of each chunk in its contig, 0-based, int64, (C,).
        length: Bases of each chunk, int64, (C,).
        split: Index of each chunk's split, int64, (C,).
        position: First base of each chunk in `genome`, int64, (C,).
        digest: Checksum of all but the positions: the same for the same chunks,
            whatever the order in which they were written.
        about: Notes that were stored with the chunks.
    """

    genome: packed.Packed
    splits: tuple[str, ...]
    contigs: tuple[str, ...]
    contig: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    split: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    digest: str
    about: Mapping[str, Any]

    def intervals(self, split: str) -> npt.NDArray[np.int64]:
        """Returns the intervals of the chunks of a split in `genome`: int64, (C, 2).

        Raises:
            ValueError: If there is no such split.
        """
        if split not in self.splits:
            raise ValueError(f"no split {split!r}; there are {', '.join(self.splits)}")
        indices = np.flatnonzero(self.split == self.splits.index(split))
        result = np.empty((len(indices), 2), np.int64)
        result[:, 0] = self.position[indices]
        result[:, 1] = self.length[indices]
        result[:, 1] += result[:, 0]
        return result

    def bases(self) -> dict[str, int]:
        """Returns the number of bases of each split."""
        counts = np.bincount(self.split, self.length, minlength=len(self.splits))
        return dict(zip(self.splits, map(int, counts), strict=True))


class Writer:
    """Writes chunks one by one; the file appears only when it is complete.

    Args:
        path: The file.
        about: Notes to store with the chunks, JSON values.

    Attributes:
        digest: Checksum of the chunks, once the file is complete.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, about: Mapping[str, Any] | None = None
    ):
        self._about = dict(about or {})
        self._path = pathlib.Path(path)
        self._rows: list[tuple[str, str, int, int, int]] = []
        self._runs: list[npt.NDArray[np.int64]] = []
        self._position = 0
        self._replacing = atomic.replacing(self._path)
        self._spool: BinaryIO
        self.digest = ""

    def __enter__(self) -> Self:
        self._partial = self._replacing.__enter__()
        self._spool = self._partial.with_suffix(".codes").open("w+b")
        os.unlink(self._spool.name)  # removed however this process ends
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            if error[0] is None:
                self._finish()
        except BaseException as e:
            self._spool.close()
            self._replacing.__exit__(type(e), e, e.__traceback__)
            raise
        self._spool.close()
        self._replacing.__exit__(*error)

    def add(
        self, split: str, contig: str, start: int, codes: npt.NDArray[np.uint8]
    ) -> None:
        """Adds a chunk: its codes, uint8, (L,)."""
        runs = packed.runs_of_n(codes)
        if len(runs):
            self._runs.append(runs + self._position)
        data = packed.pack(codes)
        self._spool.write(data.data)
        self._rows.append((contig, split, start, len(codes), self._position))
        self._position += packed.BASES_PER_BYTE * len(data)

    def packing(self, split: str, examples: Iterable[Example]) -> Iterator[Example]:
        """Adds chunks and yields them unchanged.

        Args:
            split: Split of the chunks.
            examples: Key and features of each chunk, as `data.genome_index.examples`.
        """
        for key, chunk in examples:
            codes = alphabet.CODES.take(np.frombuffer(chunk["sequence"], np.uint8))
            self.add(split, chunk["contig"], chunk["start"], codes)
            yield key, chunk

    def _finish(self) -> None:
        names, split_names, *columns = zip(*self._rows, strict=True)
        start, length, position = (np.array(column, np.int64) for column in columns)
        contigs, contig = np.unique(np.array(names), return_inverse=True)
        splits, split = np.unique(np.array(split_names), return_inverse=True)
        order = np.lexsort((start, contig))
        runs = np.concatenate([np.empty((0, 2), np.int64), *self._runs])
        arrays: dict[str, npt.NDArray[Any]] = {
            "n_runs": runs,
            "contig": contig[order].astype(np.int64),
            "start": start[order],
            "length": length[order],
            "split": split[order].astype(np.int64),
            "position": position[order],
            "contigs": contigs,
            "splits": splits,
            "about": np.array(json.dumps(self._about)),
        }
        self._spool.flush()
        size = self._spool.tell()
        codes = np.memmap(self._spool, np.uint8, "r", shape=(size,))
        self.digest = _digest(codes, arrays)
        arrays["digest"] = np.array(self.digest)
        with zipfile.ZipFile(self._partial, "w", zipfile.ZIP_STORED) as archive:
            _write(archive, "format", np.int64(_FORMAT))
            _write(archive, "codes", codes)
            for name, array in arrays.items():
                _write(archive, name, array)


def load(path: str | os.PathLike[str]) -> PackedChunks:
    """Maps a file of chunks into memory; pickled arrays are refused.

    Args:
        path: File that `Writer` wrote.

    Returns:
        The chunks. Only the accessed parts of a large genome are read from the disk.

    Raises:
        ValueError: If the file holds no chunks or is damaged. Files above 128 MiB are
            not read completely to check this.
    """
    try:
        arrays = mapped(path)
        if int(arrays["format"]) != _FORMAT:
            raise ValueError(f"format {int(arrays['format'])} is not {_FORMAT}")
        for name in _ARRAYS[2:]:
            if arrays[name].dtype != np.int64 or arrays[name].ndim != 1:
                raise ValueError(f"{name} is {arrays[name].dtype}")
        end = arrays["position"] + arrays["length"]
        limit = packed.BASES_PER_BYTE * len(arrays["codes"])
        if len(end) and (end.max() > limit or arrays["position"].min() < 0):
            raise ValueError("a chunk lies beyond the bases")
        chunks = PackedChunks(
            genome=packed.Packed(codes=arrays["codes"], n_runs=arrays["n_runs"]),
            splits=tuple(arrays["splits"].tolist()),
            contigs=tuple(arrays["contigs"].tolist()),
            digest=str(arrays["digest"]),
            about=json.loads(str(arrays["about"])),
            **{name: arrays[name] for name in _ARRAYS[2:]},
        )
        if os.path.getsize(path) <= _SMALL and not verify(chunks):
            raise ValueError("its checksum is not that of its content")
    except OSError as e:
        raise ValueError(f"{path} cannot be read: {e.strerror or e}") from e
    except Exception as e:  # its type depends on what is wrong in the archive
        raise ValueError(f"{path} holds no packed chunks: {sources.cause(e)}") from e
    return chunks


def verify(chunks: PackedChunks) -> bool:
    """Reads all bases and returns whether they are those that were written."""
    arrays = {name: getattr(chunks, name) for name in _ARRAYS[2:]}
    arrays["n_runs"] = chunks.genome.n_runs
    arrays["contigs"] = np.array(chunks.contigs)
    arrays["splits"] = np.array(chunks.splits)
    return _digest(chunks.genome.codes, arrays) == chunks.digest


def mapped(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Maps the arrays of an uncompressed .npz file into memory, read-only.

    Args:
        path: The file.

    Returns:
        Name → array.

    Raises:
        ValueError: If a member is compressed, pickled, or longer than the file.
        OSError: If it cannot be read.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    path = os.fspath(path)
    size = os.path.getsize(path)
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} is compressed")
            file.seek(info.header_offset)
            head = file.read(30)
            skip = int.from_bytes(head[26:28], "little")
            skip += int.from_bytes(head[28:30], "little")
            file.seek(info.header_offset + 30 + skip)
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, is_fortran, dtype = read_header(file)
            if dtype.hasobject or is_fortran:
                raise ValueError(f"{name} is not a plain array")
            offset = file.tell()
            count = int(np.prod(shape, dtype=object))
            if offset + count * dtype.itemsize > size:
                raise ValueError(f"{name} is longer than the file")
            if info.file_size <= _HEAD:  # reading it verifies its checksum
                content = io.BytesIO(archive.read(info))
                arrays[name] = np.lib.format.read_array(content, allow_pickle=False)
            elif count:
                arrays[name] = np.memmap(path, dtype, "r", offset, shape)
            else:
                arrays[name] = np.empty(shape, dtype)
    return arrays


def _write(archive: zipfile.ZipFile, name: str, array: Any) -> None:
    """Writes an array as a member, in blocks."""
    array = np.asanyarray(array)
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_2_0(file, header)
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for start in range(0, len(flat), _BLOCK):
            file.write(flat[start : start + _BLOCK].data)


def _digest(codes: npt.NDArray[np.uint8], arrays: dict[str, npt.NDArray[Any]]) -> str:
    """Returns a checksum of chunks that does not depend on their positions."""
    checksum = hashlib.blake2b(digest_size=16)
    for name in ("contig", "start", "length", "split"):
        checksum.update(np.ascontiguousarray(arrays[name], "<i8").data)
    for name in ("contigs", "splits"):
        checksum.update("\n".join(arrays[name].tolist()).encode() + b"\0")
    position, length = arrays["position"], arrays["length"]
    runs = np.asarray(arrays["n_runs"])
    first = np.searchsorted(runs[:, 0], position)
    last = np.searchsorted(runs[:, 0], position + length)
    for start, bases, i, j in zip(
        position.tolist(), length.tolist(), first.tolist(), last.tolist(), strict=True
    ):
        checksum.update(codes[start >> 2 : (start + bases + 3) >> 2].data)
        if i < j:
            checksum.update((runs[i:j] - start).astype("<i8").tobytes())
    return checksum.hexdigest()


def of(
    chunks: Sequence[tuple[str, str, int, npt.NDArray[np.uint8]]],
    path: str | os.PathLike[str],
) -> PackedChunks:
    """Writes chunks, each (split, contig, start, codes), and maps the file."""
    with Writer(path) as writer:
        for chunk in chunks:
            writer.add(*chunk)
    return load(path)
