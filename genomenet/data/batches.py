"""Arrays and sequences in memory → batches of one static shape; NumPy only."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from genomenet.dna import alphabet, encode

Arrays = Mapping[str, npt.NDArray[Any]]
Batch = dict[str, npt.NDArray[Any]]


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Returns the batches that hold all rows once."""
    return -(-rows // batch_size)


def endless(
    arrays: Arrays, *, batch_size: int, seed: int, first: int = 0
) -> Iterator[Batch]:
    """Yields batches in which every epoch has all rows, in an order of its own.

    Args:
        arrays: Name → (N, ...); among them "weight", (N,).
        batch_size: Rows of a batch, B.
        seed: Of the orders and the keys.
        first: Number of the first batch.

    Yields:
        Without end, name → (B, ...), and "key", uint32, (B, 2). Where N is no multiple
        of B, the last batch of an epoch is filled with rows of weight 0.
    """
    rows = len(arrays["weight"])
    steps = steps_per_epoch(rows, batch_size)
    order = np.arange(rows)
    for number in itertools.count(first):
        epoch, step = divmod(number, steps)
        if step == 0 or number == first:
            order = np.random.default_rng([seed, epoch]).permutation(rows)
        yield _batch(arrays, order, step, batch_size, seed, number)


def num_parts(batch_size: int, length: int, *, most: int) -> int:
    """Returns in how many equal parts a batch is read.

    Args:
        batch_size: Rows of it.
        length: Bases of a row.
        most: Bases of a part, at most, unless one row has more.
    """
    fit = (n for n in range(1, batch_size) if not batch_size % n)
    return next((n for n in fit if batch_size // n * length <= most), batch_size)


def dealt(
    whole: Iterable[Batch], worker: int, num_workers: int, *, parts: int = 1
) -> Iterator[Batch]:
    """Yields one worker's rows of each batch, in equal parts.

    Args:
        whole: Batches.
        worker: Index of the worker, which has the rows after those of lower index.
        num_workers: Number of workers.
        parts: Number of parts of each batch.
    """
    for batch in whole:
        rows = len(batch["weight"]) // (num_workers * parts)
        for part in range(worker * parts, (worker + 1) * parts):
            one = slice(part * rows, (part + 1) * rows)
            yield {name: array[one] for name, array in batch.items()}


def in_order(arrays: Arrays, *, batch_size: int, seed: int) -> Iterator[Batch]:
    """Yields the rows once, in their order, in batches as `endless` makes them."""
    order = np.arange(len(arrays["weight"]))
    for number in range(steps_per_epoch(len(order), batch_size)):
        yield _batch(arrays, order, number, batch_size, seed, number)


def _batch(
    arrays: Arrays,
    order: npt.NDArray[np.intp],
    step: int,
    batch_size: int,
    seed: int,
    number: int,
) -> Batch:
    """Returns a batch: that of a step of an epoch, with its number in the run."""
    rows = order[step * batch_size : (step + 1) * batch_size]
    filled = np.concatenate([rows, np.zeros(batch_size - len(rows), rows.dtype)])
    batch = {name: array[filled] for name, array in arrays.items()}
    batch["weight"][len(rows) :] = 0
    numbers = np.arange(number * batch_size, (number + 1) * batch_size)
    keys = np.stack([np.full(batch_size, seed), numbers], axis=1)
    batch["key"] = (keys % (1 << 32)).astype(np.uint32)
    return batch


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
        codes = encode.pad([sequences[number] for number in numbers], length)
        yield numbers, filled(codes, size)


def filled(codes: npt.NDArray[np.uint8], num_rows: int) -> npt.NDArray[np.uint8]:
    """Returns rows, and below them rows of N up to a count."""
    rest = ((0, num_rows - len(codes)), (0, 0))
    return np.pad(codes, rest, constant_values=alphabet.N)
