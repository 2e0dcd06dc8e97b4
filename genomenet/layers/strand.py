"""Strands of base codes, inside the graph; keras only."""

from __future__ import annotations

from typing import Any

from keras import ops

from genomenet.dna import alphabet


def complement(bases: Any) -> Any:
    """Returns the complementary codes: A↔T, C↔G, N and padding kept.

    Args:
        bases: Codes of `dna.alphabet`, any integer type, any shape.

    Returns:
        The same shape and type.
    """
    paired = ops.cast(alphabet.NUM_BASES - 1, bases.dtype) - bases
    return ops.where(bases < alphabet.NUM_BASES, paired, bases)


def reverse_complement(bases: Any) -> Any:
    """Returns the reverse complement of rows that have no padding.

    Args:
        bases: Codes of `dna.alphabet`, (..., L).

    Returns:
        The same shape and type.
    """
    return ops.flip(complement(bases), axis=-1)


def reverse_padded(bases: Any) -> Any:
    """Returns the reverse complement of rows that are padded on the right.

    Args:
        bases: Codes of `dna.alphabet`, (B, L).

    Returns:
        The same shape and type; the padding stays on the right.
    """
    is_real = ops.cast(bases != alphabet.PAD, "int32")
    lengths = ops.sum(is_real, axis=1, keepdims=True)  # (B, 1)
    columns = ops.arange(ops.shape(bases)[1], dtype="int32")[None]
    source = ops.where(columns < lengths, lengths - 1 - columns, columns)
    return complement(ops.take_along_axis(bases, source, axis=1))
