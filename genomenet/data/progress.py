"""Progress in bases: how far, how fast, how long still."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import tqdm

from genomenet.dna import files

# Bases a byte of a file, for a first guess of the total. Gzip: as measured on genomes.
_GZIP: Final = 3.4
_TWO_BIT: Final = 4.0
_READS: Final = 0.45  # FASTQ: qualities and two headers a read
_HEADS: Final = {b"\x1f\x8b": _GZIP, b"\x1a\x41": _TWO_BIT, b"\x43\x27": _TWO_BIT}


@contextlib.contextmanager
def bar(
    title: str, total: int | None, *, show: bool
) -> Iterator[Callable[[int], None]]:
    """Shows a bar with bases, bases a second and the time that is left.

    Args:
        title: What is being done.
        total: Bases to come. A guess that proves too low is corrected.
        show: Whether to show anything.

    Yields:
        A function to call with the number of bases done.
    """
    with tqdm.tqdm(
        desc=title,
        total=total,
        unit="b",
        unit_scale=True,
        disable=not show,
        mininterval=0.2,
    ) as shown:

        def update(bases: int) -> None:
            if shown.total and shown.n + bases > shown.total:
                shown.total = shown.n + bases
            shown.update(bases)

        yield update
        if not shown.disable:
            shown.total = shown.n
            shown.refresh()


def guessed_bases(paths: Sequence[str]) -> int | None:
    """Guesses the bases of sequence files from their sizes.

    Args:
        paths: Existing files, or `-`, whose size is unknown.

    Returns:
        Bases in all files, or None.
    """
    total = 0.0
    for path in paths:
        if path == files.STDIN:
            return None
        with open(path, "rb") as file:
            head = file.read(2)
            factor = _HEADS.get(head, _READS if head[:1] == b"@" else 1.0)
        total += os.path.getsize(path) * factor
    return int(total)
