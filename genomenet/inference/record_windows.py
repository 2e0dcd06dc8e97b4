"""Records → padded batches of windows, with where each came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet, encode, reader


class Window(NamedTuple):
    """One window of a record.

    Attributes:
        name: Of the record.
        start: First base, 0-based, forward strand.
        end: One past the last base.
        codes: uint8, (end - start,).
    """

    name: str
    start: int
    end: int
    codes: npt.NDArray[np.uint8]


def starts(length: int, *, window: int, stride: int) -> list[int]:
    """Returns where windows start, so that every base lies in one.

    Args:
        length: Bases of the record.
        window: Bases of a window.
        stride: Bases between neighbouring starts.

    Returns:
        Multiples of the stride, and where the record ends in between, one more start
        whose window ends with the record. A record no longer than a window: [0].
    """
    if length <= window:
        return [0]
    found = list(range(0, length - window + 1, stride))
    if found[-1] + window < length:
        found.append(length - window)
    return found


def share_of_n(codes: npt.NDArray[np.uint8], *, k: int = 1) -> float:
    """Returns which share of a sequence says nothing.

    Args:
        codes: Codes of `dna.alphabet`, (L,).
        k: Bases that the model reads as one token, a k-mer.

    Returns:
        Share of bases that are N or padding; 1 where they leave no whole k-mer.
    """
    places = np.flatnonzero(codes >= alphabet.NUM_BASES)
    if not len(places):
        return 0.0
    borders = np.concatenate([[-1], places, [len(codes)]])
    if (np.diff(borders) - 1).max() < min(k, len(codes)):
        return 1.0
    return len(places) / len(codes)


def blank(
    found: Sequence[Window], *, max_n: float, k: int = 1
) -> npt.NDArray[np.bool_]:
    """Returns which windows hold too little to be read.

    Args:
        found: The windows, N.
        max_n: Share of N from which on a window counts as without information.
        k: As for `share_of_n`.

    Returns:
        bool, (N,).
    """
    return np.array([share_of_n(w.codes, k=k) >= max_n for w in found], bool)


def check_max_n(max_n: float) -> None:
    """Raises ValueError if a share of N makes no sense."""
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
    """Cuts records into windows, one record in memory at a time.

    Args:
        records: Of `reader.read`.
        window: Bases of a window; 0 keeps every record whole.
        stride: Bases between neighbouring starts.
        shortest: Bases below which a record is skipped.
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
        for start in starts(length, window=size, stride=stride or size):
            end = min(start + size, length)
            yield Window(record.name, start, end, record.codes[start:end])


def batched(
    windows: Iterable[Window], *, batch_size: int, length: int
) -> Iterator[tuple[list[Window], npt.NDArray[np.uint8]]]:
    """Collects windows into batches of one static shape.

    Args:
        windows: Of `cut`.
        batch_size: Rows of a batch, B.
        length: Bases of a row, L.

    Yields:
        The windows and their codes, (B, L), padded on the right; rows beyond the
        windows hold N.
    """
    rows: list[Window] = []
    for window in windows:
        rows.append(window)
        if len(rows) == batch_size:
            yield rows, _pad([row.codes for row in rows], batch_size, length)
            rows = []
    if rows:
        yield rows, _pad([row.codes for row in rows], batch_size, length)


def by_length(
    sequences: Sequence[npt.NDArray[np.uint8]], *, batch_size: int, most: int = 0
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]]:
    """Batches sequences of any mix of lengths, with little padding.

    Args:
        sequences: Codes, uint8, (L,) each.
        batch_size: Rows of a batch.
        most: Bases of a batch at most, of which longer rows then hold fewer; 0 sets
            no limit.

    Yields:
        Numbers of the sequences of a batch, the longest first, and their codes, (B,
        L), padded on the right to the longest: beyond it a model might read one more
        window. Rows beyond the sequences hold N.
    """
    # Neighbours in length share a batch, so that little is padded.
    order = np.argsort([-len(s) for s in sequences], kind="stable")
    while len(order):
        length = len(sequences[order[0]])
        size = min(batch_size, max(1, most // length)) if most else batch_size
        numbers, order = order[:size], order[size:]
        yield numbers, _pad([sequences[number] for number in numbers], size, length)


def _pad(
    rows: list[npt.NDArray[np.uint8]], batch_size: int, length: int
) -> npt.NDArray[np.uint8]:
    """Returns a batch of rows, padded on the right; rows that are missing hold N."""
    codes = np.full((batch_size, length), alphabet.N, np.uint8)
    codes[: len(rows)] = encode.pad(rows, length)
    return codes
