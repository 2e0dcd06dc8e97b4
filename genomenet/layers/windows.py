"""Splits sequences that are longer than a model reads at once; keras only."""

from __future__ import annotations

from typing import Any

from keras import ops

from genomenet.dna import alphabet


def split(bases: Any, *, length: int, shortest: int) -> tuple[Any, Any]:
    """Splits rows into windows; neighbours overlap by `shortest - 1` bases.

    So every k-mer or patch of `shortest` bases lies completely in a window, and in only
    one if its stride is 1. Rows no longer than a window are one window of their own
    length.

    Args:
        bases: Codes of `dna.alphabet`, (B, L), padded on the right.
        length: Bases of a window.
        shortest: Bases of the shortest sequence that the model can read.

    Returns:
        Codes, (B, W, Lw); and bool, (B, W), True for windows with at least `shortest`
        bases and for the first window. Other windows contain nothing new and are filled
        with A, so that a model can read them.

    Raises:
        ValueError: If `length` is below `shortest`.
    """
    if length < shortest:
        raise ValueError(f"windows of {length} bases are shorter than {shortest}")
    stride = length - shortest + 1
    total = ops.shape(bases)[1]
    if isinstance(total, int):
        count = 1 + max(0, -(-(total - length) // stride))
        width = min(total, length)
        rest = (count - 1) * stride + width - total
    else:
        count = 1 + ops.maximum(0, -((length - total) // stride))
        width = ops.minimum(total, length)
        rest = (count - 1) * stride + width - total
    padded = ops.pad(bases, ((0, 0), (0, rest)), constant_values=alphabet.PAD)
    starts = ops.arange(count, dtype="int32")[:, None] * stride
    columns = starts + ops.arange(width, dtype="int32")[None]  # (W, Lw)
    windows = ops.take(padded, columns, axis=1)  # (B, W, Lw)
    real = ops.sum(ops.cast(windows != alphabet.PAD, "int32"), axis=2)
    is_first = ops.arange(count, dtype="int32")[None] == 0
    is_valid = ops.logical_or(real >= shortest, is_first)
    filled = ops.where(is_valid[..., None], windows, ops.zeros_like(windows))
    return filled, is_valid
