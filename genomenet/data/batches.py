"""Batches of one static shape from arrays and sequences in memory; NumPy only."""

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
    """Returns the number of batches that hold all rows once."""
    return -(-rows // batch_size)


def endless(
    arrays: Arrays, *, batch_size: int, seed: int, first: int = 0
) -> Iterator[Batch]:
    """Yields batches without end; each epoch holds all rows, in a new order.

    Args:
        arrays: Name → (N, ...); among them "weight", (N,).
        batch_size: Rows of a batch, B.
        seed: Seed of the orders and the keys.
        first: Index of the first batch.

    Yields:
        Name → (B, ...), and "key", uint32, (B, 2). If N is not a multiple of B, the
        last batch of an epoch is filled with rows of weight 0.
    """
    rows = len(arrays["weight"])
    steps = steps_per_epoch(rows, batch_size)
    order = np.arange(rows)
    for index in itertools.count(first):
        epoch, step = divmod(index, steps)
        if step == 0 or index == first:
            order = np.random.default_rng([seed, epoch]).permutation(rows)
        yield _batch(arrays, order, step, batch_size, seed, index)


def num_parts(batch_size: int, length: int, *, most: int) -> int:
    """Returns the number of equal parts in which a batch is read.

    Args:
        batch_size: Rows of a batch.
        length: Bases of a row.
        most: Maximum number of bases in a part, unless a single row has more.
    """
    divisors = (n for n in range(1, batch_size) if not batch_size % n)
    return next((n for n in divisors if batch_size // n * length <= most), batch_size)


def dealt(
    whole: Iterable[Batch], worker: int, num_workers: int, *, parts: int = 1
) -> Iterator[Batch]:
    """Yields one worker's rows of each batch, in equal parts.

    Args:
        whole: Batches of all workers, name → (B, ...).
        worker: Index of the worker; its rows follow those of workers of lower index.
        num_workers: Number of workers.
        parts: Number of parts of a worker's rows of each batch.
    """
    for batch in whole:
        rows = len(batch["weight"]) // (num_workers * parts)
        for part in range(worker * parts, (worker + 1) * parts):
            interval = slice(part * rows, (part + 1) * rows)
            yield {name: array[interval] for name, array in batch.items()}


def in_order(arrays: Arrays, *, batch_size: int, seed: int) -> Iterator[Batch]:
    """Yields the rows once, in their order, in batches like those of `endless`."""
    order = np.arange(len(arrays["weight"]))
    for index in range(steps_per_epoch(len(order), batch_size)):
        yield _batch(arrays, order, index, batch_size, seed, index)


def _batch(
    arrays: Arrays,
    order: npt.NDArray[np.intp],
    step: int,
    batch_size: int,
    seed: int,
    index: int,
) -> Batch:
    """Returns the batch of a step of an epoch; `index` is its index in the run."""
    rows = order[step * batch_size : (step + 1) * batch_size]
    filled = np.concatenate([rows, np.zeros(batch_size - len(rows), rows.dtype)])
    batch = {name: array[filled] for name, array in arrays.items()}
    batch["weight"][len(rows) :] = 0
    row_indices = np.arange(index * batch_size, (index + 1) * batch_size)
    keys = np.stack([np.full(batch_size, seed), row_indices], axis=1)
    batch["key"] = (keys % (1 << 32)).astype(np.uint32)
    return batch


def by_length(
    sequences: Sequence[npt.NDArray[np.uint8]], *, batch_size: int, most: int = 0
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]]:
    """Batches sequences of mixed lengths, with little padding.

    Args:
        sequences: Codes, uint8, (L,) each.
        batch_size: Rows of a batch.
        most: Maximum number of bases in a batch, so that longer rows come in smaller
            batches; 0 sets no limit.

    Yields:
        Indices of the sequences of a batch, the longest first, and their codes, (B,
        L), padded on the right to the longest and no further, as a model might read
        one more window there. Rows after the last sequence hold N.
    """
    # Sequences of similar length share a batch, so that little is padded.
    order = np.argsort([-len(s) for s in sequences], kind="stable")
    while len(order):
        length = len(sequences[order[0]])
        size = min(batch_size, max(1, most // length)) if most else batch_size
        indices, order = order[:size], order[size:]
        codes = encode.pad([sequences[index] for index in indices], length)
        yield indices, filled(codes, size)


def filled(codes: npt.NDArray[np.uint8], num_rows: int) -> npt.NDArray[np.uint8]:
    """Returns the rows, followed by rows of N up to `num_rows` rows."""
    rest = ((0, num_rows - len(codes)), (0, 0))
    return np.pad(codes, rest, constant_values=alphabet.N)
