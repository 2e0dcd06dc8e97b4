"""Divides records into windows with coordinates, and windows into padded batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genomenet.data import batches
from genomenet.dna import alphabet, encode, reader, tiling


class Window(NamedTuple):
    """One window of a record.

    Attributes:
        name: Name of the record.
        start: Position of the first base, 0-based, forward strand.
        end: One past the last base.
        codes: uint8, (end - start,).
    """

    name: str
    start: int
    end: int
    codes: npt.NDArray[np.uint8]


def share_of_n(codes: npt.NDArray[np.uint8], *, k: int = 1) -> float:
    """Returns the share of unknown bases in a sequence.

    Args:
        codes: Codes of `dna.alphabet`, (L,).
        k: Bases per token of the model, a k-mer.

    Returns:
        Share of bases that are N or padding; 1 if no k-mer is free of them.
    """
    unknown = np.flatnonzero(codes >= alphabet.NUM_BASES)
    if not len(unknown):
        return 0.0
    borders = np.concatenate([[-1], unknown, [len(codes)]])
    if (np.diff(borders) - 1).max() < min(k, len(codes)):
        return 1.0
    return len(unknown) / len(codes)


def blank(
    windows: Sequence[Window], *, max_n: float, k: int = 1
) -> npt.NDArray[np.bool_]:
    """Returns which windows contain too many N to be predicted.

    Args:
        windows: The windows, N.
        max_n: Share of N at or above which a window is blank.
        k: As for `share_of_n`.

    Returns:
        bool, (N,).
    """
    return np.array([share_of_n(w.codes, k=k) >= max_n for w in windows], bool)


def check_max_n(max_n: float) -> None:
    """Raises ValueError if a share of N is out of range."""
    if not 0 < max_n <= 1:
        raise ValueError(f"max_n must be above 0 and at most 1, got {max_n}")


def cut(
    records: Iterable[reader.Record],
    *,
    window: int,
    stride: int,
    shortest: int,
    on_short: Callable[[reader.Record], None],
) -> Iterator[Window]:
    """Divides records into windows, with one record in memory at a time.

    Args:
        records: Records, as from `reader.read`.
        window: Bases of a window; 0 keeps every record whole.
        stride: Bases between the starts of consecutive windows.
        shortest: Minimum length of a record, in bases; shorter ones are skipped.
        on_short: Called with each skipped record.

    Yields:
        The windows, in order.
    """
    for record in records:
        length = len(record.codes)
        if length < shortest:
            on_short(record)
            continue
        size = window or length
        for start in tiling.starts(length, window=size, stride=stride or size):
            end = min(start + size, length)
            yield Window(record.name, start, end, record.codes[start:end])


def batched(
    windows: Iterable[Window], *, batch_size: int, length: int
) -> Iterator[tuple[list[Window], npt.NDArray[np.uint8]]]:
    """Collects windows into batches of one static shape.

    Args:
        windows: Windows, as from `cut`.
        batch_size: Rows of a batch, B.
        length: Bases of a row, L.

    Yields:
        The windows and their codes, (B, L), padded on the right; surplus rows contain
        N.
    """
    windows = iter(windows)
    while rows := list(itertools.islice(windows, batch_size)):
        codes = encode.pad([row.codes for row in rows], length)
        yield rows, batches.filled(codes, batch_size)
