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
    """Returns the other strand, read 5'→3'. Rows must be full, without padding.

    Args:
        bases: Codes of `dna.alphabet`, (..., L).

    Returns:
        The same shape and type.
    """
    return ops.flip(complement(bases), axis=-1)
