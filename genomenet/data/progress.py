"""Progress bars in bases: amount done, rate and remaining time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import tqdm

from genomenet.dna import files

# Bases per byte of a file, to estimate the total. Gzip: as measured on genomes.
_GZIP: Final = 3.4
_TWO_BIT: Final = 4.0
_READS: Final = 0.45  # FASTQ: qualities and two headers a read
_HEADS: Final = {b"\x1f\x8b": _GZIP, b"\x1a\x41": _TWO_BIT, b"\x43\x27": _TWO_BIT}


@contextlib.contextmanager
def bar(
    title: str, total: int | None, *, show: bool
) -> Iterator[Callable[[int], None]]:
    """Shows a bar with bases, bases per second and the remaining time.

    Args:
        title: Title of the bar.
        total: Expected number of bases. An estimate that is too low is corrected.
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
    """Estimates the number of bases in sequence files from their sizes.

    Args:
        paths: Existing files, or `-`, whose size is unknown.

    Returns:
        Bases in all files, or None if a size is unknown.
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
