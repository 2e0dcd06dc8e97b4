"""Random draws as a function of (row key, stream, position); keras only."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from keras import ops

_WEYL: Final = 0x9E3779B9  # 2^32 / golden ratio
_FIRST: Final = np.uint32(0x7FEB352D)
_SECOND: Final = np.uint32(0x846CA68B)
_MANTISSA: Final = 24  # bits that a float32 holds exactly


def bits(key: Any, positions: Any, *, stream: int) -> Any:
    """Returns 32 random bits per position by a hash, equal on all backends.

    There is no state: the same key, stream and position give the same bits in any
    order, batch and process.

    Args:
        key: The key of each row, uint32, (B, 2).
        positions: Positions to draw for, any integer type, (B, T) or (1, T); taken
            modulo 2^32.
        stream: Index of the draw, 0 and up; streams are independent.

    Returns:
        uint32, (B, T).

    Raises:
        ValueError: If `stream` is below 0, or `key` does not have two columns.

    Source:
        The finaliser "lowbias32" of C. Wellons, "Prospecting for hash functions"
        (2018), over a Weyl sequence whose start and step are hashes of key and
        stream. Differences: the step depends on the row.
    """
    if stream < 0:
        raise ValueError(f"stream must be >= 0, got {stream}")
    if len(key.shape) != 2 or key.shape[1] != 2:
        raise ValueError(f"key must have the shape (B, 2), got {tuple(key.shape)}")
    key = ops.cast(key, "uint32")
    low, high = key[:, :1], key[:, 1:]  # (B, 1)
    start = _mix(ops.bitwise_xor(_mix(low + _word(2 * stream)), high))
    step = _mix(ops.bitwise_xor(_mix(high + _word(2 * stream + 1)), low))
    step = ops.bitwise_or(step, np.uint32(1))  # odd: no two positions collide
    return _mix(ops.cast(positions, "uint32") * step + start)


def uniform(key: Any, positions: Any, *, stream: int) -> Any:
    """Returns uniform numbers in [0, 1), from the upper 24 of the bits.

    Args:
        key: The key of each row, uint32, (B, 2).
        positions: Positions to draw for, any integer type, (B, T) or (1, T).
        stream: Index of the draw, 0 and up.

    Returns:
        float32, (B, T), multiples of 2^-24.

    Raises:
        ValueError: As `bits`.
    """
    upper = ops.right_shift(
        bits(key, positions, stream=stream), np.uint32(32 - _MANTISSA)
    )
    return ops.cast(ops.cast(upper, "int32"), "float32") * (0.5**_MANTISSA)


def _mix(x: Any) -> Any:
    """Applies a bijective hash to uint32 of any shape."""
    x = ops.bitwise_xor(x, ops.right_shift(x, np.uint32(16))) * _FIRST
    x = ops.bitwise_xor(x, ops.right_shift(x, np.uint32(15))) * _SECOND
    return ops.bitwise_xor(x, ops.right_shift(x, np.uint32(16)))


def _word(index: int) -> np.uint32:
    """Returns the constant of a stream's start or step."""
    return np.uint32((index + 1) * _WEYL % 2**32)
