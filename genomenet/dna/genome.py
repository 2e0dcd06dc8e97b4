"""A genome in memory with random access to its bases."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet, encode, packed, reader

_PREFIX: Final = "chr"
_MITOCHONDRION: Final = {"m": "mt"}


class Names:
    """Finds contigs by name, with or without `chr`, the mitochondrion as M or MT.

    Args:
        names: Names of the contigs.
    """

    def __init__(self, names: Iterable[str] = ()):
        self._exact: set[str] = set()
        self._known: dict[str, str | None] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Adds a contig."""
        self._exact.add(name)
        plain = _plain(name)
        # Contigs that differ only in this way are identified by their full names only.
        self._known[plain] = None if plain in self._known else name

    def find(self, name: str) -> str | None:
        """Returns the contig that a name refers to, or None."""
        return name if name in self._exact else self._known.get(_plain(name))


class Genome:
    """Contigs at 2 bits per base, by name.

    Args:
        contigs: Name → codes of `dna.alphabet`, uint8, (L,).
    """

    def __init__(self, contigs: Mapping[str, npt.NDArray[np.uint8]]):
        self._lengths: dict[str, int] = {}
        self._contigs: dict[str, packed.Packed] = {}
        self._names = Names()
        for name, codes in contigs.items():
            self._add(name, codes)

    @classmethod
    def read(
        cls,
        source: str
        | os.PathLike[str]
        | Sequence[str | os.PathLike[str]]
        | Mapping[str, str],
        *,
        only: Collection[str] | None = None,
    ) -> Genome:
        """Reads a genome.

        Args:
            source: Files or patterns as for `dna.reader.read`, or name → sequence.
            only: Contigs to keep, by any of their names; all if None.

        Returns:
            The genome.

        Raises:
            ValueError: If a file is not usable.
        """
        genome = cls({})
        wanted = None if only is None else set(map(_plain, only))
        if isinstance(source, Mapping):
            for name, letters in source.items():
                genome._add(name, encode.encode(letters, name=name))
            return genome
        for record in reader.read(source):
            if wanted is None or _plain(record.name) in wanted:
                genome._add(record.name, record.codes)
        return genome

    def _add(self, name: str, codes: npt.NDArray[np.uint8]) -> None:
        self._contigs[name] = packed.of(codes)
        self._lengths[name] = len(codes)
        self._names.add(name)

    def find(self, name: str) -> str | None:
        """Returns the contig that a name refers to, or None.

        Args:
            name: Name with or without `chr`; the mitochondrion is M or MT.
        """
        return self._names.find(name)

    @property
    def names(self) -> list[str]:
        """Names of the contigs, in the order in which they were added."""
        return list(self._lengths)

    def windows(
        self, contig: str, starts: npt.NDArray[np.int64], length: int
    ) -> npt.NDArray[np.uint8]:
        """Returns the codes of windows inside a contig: uint8, (W, length)."""
        return self._contigs[contig].take(starts, length)

    def length(self, contig: str) -> int:
        """Returns the length of a contig, in bases."""
        return self._lengths[contig]

    def take(self, contig: str, start: int, length: int) -> npt.NDArray[np.uint8]:
        """Returns an interval of a contig, with N beyond the ends of the contig.

        Args:
            contig: Name of the contig in the genome.
            start: First base, 0-based; a negative value lies before the contig.
            length: Length of the interval, in bases.

        Returns:
            Codes, uint8, (length,).
        """
        codes = np.full(length, alphabet.N, np.uint8)
        first = max(start, 0)
        last = min(start + length, self._lengths[contig])
        if first < last:
            starts = np.array([first], np.int64)
            bases = self._contigs[contig].take(starts, last - first)[0]
            codes[first - start : last - start] = bases
        return codes


def _plain(name: str) -> str:
    """Normalises the name of a contig: lower case, no `chr`, MT for M."""
    plain = name.lower().removeprefix(_PREFIX)
    return _MITOCHONDRION.get(plain, plain)
