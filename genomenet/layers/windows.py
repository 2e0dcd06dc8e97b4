"""Sequences longer than a model reads at once, in windows; keras only."""

from __future__ import annotations

from typing import Any

from keras import ops

from genomenet.dna import alphabet


def split(bases: Any, *, length: int, shortest: int) -> tuple[Any, Any]:
    """Cuts rows into windows of which neighbours overlap by `shortest - 1` bases.

    So whatever a model reads of `shortest` bases, a k-mer or a patch, lies whole in
    a window, and in one only where its stride is 1. Rows no longer than a window are
    one window of their own length.

    Args:
        bases: Codes of `dna.alphabet`, (B, L), padded on the right.
        length: Bases of a window.
        shortest: Bases of the shortest sequence that the model can read.

    Returns:
        Codes, (B, W, Lw); and which windows hold at least `shortest` bases that no
        other does, bool, (B, W), always True for the first. A window that does not
        holds nothing new; it is filled with A, so that whatever reads it finds a
        sequence.

    Raises:
        ValueError: If a window is shorter than `shortest`.
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
