"""A genome at 2 bits a base: chromosome 20 in 16 MB; NumPy only."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet import atomic
from genomenet.data import sources
from genomenet.dna import alphabet, reader, windows
from genomenet.training import npz_file

_FORMAT: Final = 1
_ARRAYS: Final = ("packed", "n_runs", "starts", "lengths")
_BLOCK: Final = 1 << 20  # bases of a contig unpacked at once
_SHIFTS: Final = np.array([0, 2, 4, 6], np.uint8)  # of the four bases in a byte


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PackedGenome:
    """Contigs one after the other, each from the beginning of a byte.

    Attributes:
        packed: Four bases a byte, the first in the lowest bits, N as A: uint8.
        n_runs: Where N are: 0-based half-open places, int64, (R, 2), in order.
        names: Of the contigs.
        starts: Place of each contig's first base, int64, (C,).
        lengths: Bases of each contig, int64, (C,).
    """

    packed: npt.NDArray[np.uint8]
    n_runs: npt.NDArray[np.int64]
    names: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]

    def take(self, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.uint8]:
        """Returns stretches of one length: codes, uint8, (W, L).

        Args:
            starts: Place of each stretch's first base, (W,).
            length: Bases of a stretch, L.
        """
        first = starts >> 2
        num_bytes = (length + 6) >> 2  # with what lies before in the first byte
        places = first[:, None] + np.arange(num_bytes)
        found = self.packed.take(places, mode="clip")  # (W, bytes)
        bases = (found[:, :, None] >> _SHIFTS) & 3  # (W, bytes, 4)
        bases = bases.reshape(len(starts), 4 * num_bytes)
        columns = (starts & 3)[:, None] + np.arange(length)
        codes = np.take_along_axis(bases, columns, axis=1).astype(np.uint8, copy=False)
        (rows,) = np.nonzero(self.count_n(starts, starts + length))
        if len(rows):
            codes[rows] = self._with_n(codes[rows], starts[rows])
        return codes

    def count_n(
        self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Returns the number of N in each interval, int64, (W,)."""
        return self._n_before(ends) - self._n_before(starts)

    def contig(self, number: int) -> npt.NDArray[np.uint8]:
        """Returns the codes of a contig, uint8, (L,)."""
        start, length = int(self.starts[number]), int(self.lengths[number])
        codes = np.empty(length, np.uint8)
        for i in range(0, length, _BLOCK):
            block = codes[i : i + _BLOCK]
            block[:] = self.take(np.array([start + i]), len(block))[0]
        return codes

    def digest(self) -> str:
        """Returns what tells this genome from another: 32 hexadecimal digits."""
        found = hashlib.blake2b(digest_size=16)
        for array in (self.packed, self.n_runs, self.starts, self.lengths):
            found.update(np.ascontiguousarray(array).data)
        found.update("\n".join(self.names).encode())
        return found.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz that `load` reads, whole or not at all."""
        with atomic.replacing(path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                format=np.int64(_FORMAT),
                packed=self.packed,
                n_runs=self.n_runs,
                names=np.array(self.names),
                starts=self.starts,
                lengths=self.lengths,
                digest=np.array(self.digest()),
            )

    def _n_before(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns how many N lie before each place."""
        if not len(self.n_runs):
            return np.zeros(places.shape, np.int64)
        starts, ends = self.n_runs.T
        whole = np.concatenate([[0], np.cumsum(ends - starts)])
        run = np.searchsorted(starts, places, side="right") - 1  # -1: none
        inside = np.minimum(places, ends[run]) - starts[run]
        return np.where(run < 0, 0, whole[run] + inside)

    def _with_n(
        self, codes: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Returns the codes with their N."""
        places = starts[:, None] + np.arange(codes.shape[1])
        run = np.searchsorted(self.n_runs[:, 0], places, side="right") - 1
        is_n = (run >= 0) & (places < self.n_runs[run, 1])
        return np.where(is_n, np.uint8(alphabet.N), codes)


def pack(paths: str | Sequence[str]) -> PackedGenome:
    """Reads sequence files and packs them.

    Args:
        paths: Files, as for `dna.reader.read`.

    Returns:
        The genome.

    Raises:
        SequenceFileError: If a file is not usable as it is.
    """
    packed, n_runs, names, lengths, starts, place = [], [], [], [], [], 0
    for record in reader.read(paths):
        codes = record.codes
        known, _ = windows.pieces(codes, max_n_run=0, min_length=1)
        borders = np.concatenate([[0], known.ravel(), [len(codes)]]).reshape(-1, 2)
        runs = borders[borders[:, 0] < borders[:, 1]]  # what lies between the pieces
        packed.append(_pack(codes))
        n_runs.append(runs + place)
        names.append(record.name)
        lengths.append(len(codes))
        starts.append(place)
        place += 4 * len(packed[-1])
        del record, codes
    return PackedGenome(
        packed=np.concatenate(packed),
        n_runs=np.concatenate(n_runs).astype(np.int64),
        names=tuple(names),
        starts=np.array(starts, np.int64),
        lengths=np.array(lengths, np.int64),
    )


def load(path: str | os.PathLike[str]) -> PackedGenome:
    """Reads what `PackedGenome.save` wrote; nothing that is pickled is read.

    Args:
        path: The file.

    Returns:
        The genome.

    Raises:
        ValueError: If it is no such file, or not as it was written.
    """
    try:
        npz_file.check_sizes(path)
        with np.load(path, allow_pickle=False) as arrays:
            if int(arrays["format"]) != _FORMAT:
                raise ValueError(f"format {int(arrays['format'])} is not {_FORMAT}")
            names = arrays["names"]
            genome = PackedGenome(
                names=tuple(map(str, np.atleast_1d(names).tolist())),
                **{name: arrays[name] for name in _ARRAYS},
            )
            _check(genome)
            if "digest" in arrays and str(arrays["digest"]) != genome.digest():
                raise ValueError("its checksum is not that of its content")
    except OSError as e:
        raise ValueError(f"{path} cannot be read: {e.strerror or e}") from e
    except Exception as e:  # of many kinds, by what is wrong in the archive
        cause = sources.cause(e)
        raise ValueError(f"{path} is no packed genome, or damaged: {cause}") from e
    return genome


def read(paths: Sequence[str]) -> PackedGenome:
    """Loads a packed genome, one .npz, or packs sequence files."""
    if len(paths) == 1 and pathlib.PurePath(paths[0]).suffix == ".npz":
        return load(paths[0])
    return pack(paths)


def _check(genome: PackedGenome) -> None:
    """Refuses arrays that do not fit each other."""
    count = len(genome.names)
    for name, dtype, shape in (
        ("packed", np.uint8, (genome.packed.size,)),
        ("n_runs", np.int64, (genome.n_runs.size // 2, 2)),
        ("starts", np.int64, (count,)),
        ("lengths", np.int64, (count,)),
    ):
        array = getattr(genome, name)
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(f"{name} is {array.dtype} {array.shape}")
    if len(set(genome.names)) < len(genome.names) or not genome.names:
        raise ValueError("names are missing or not unique")
    ends = genome.starts + -(-genome.lengths // 4) * 4
    total = 4 * len(genome.packed)
    if (
        genome.lengths.min() < 1
        or genome.lengths.max() > total
        or not np.array_equal(ends, [*genome.starts[1:], total])
        or genome.starts[0] != 0
    ):
        raise ValueError("starts and lengths do not fit the bases")
    borders = genome.n_runs.ravel()
    if borders.size and (
        borders[0] < 0
        or borders[-1] > total
        or (genome.n_runs[:, 0] >= genome.n_runs[:, 1]).any()
        or (np.diff(borders) < 0).any()
    ):
        raise ValueError("runs of N are not in order")


def _pack(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Packs codes, four a byte."""
    bases = np.where(codes < alphabet.NUM_BASES, codes, np.uint8(alphabet.A))
    bases = np.pad(bases, (0, -len(bases) % 4)).reshape(-1, 4)
    return np.bitwise_or.reduce(bases << _SHIFTS, axis=1)
