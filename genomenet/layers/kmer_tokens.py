"""Tokenization of bases into overlapping k-mers, inside the graph; keras only."""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
from keras import ops

from genomenet.dna import alphabet, kmer

MIN_K: Final = 3  # below it [CLS] and [SEP] need more slots than there are bases
# Code → base-4 digit of a k-mer's index; N and padding keep it below zero, k <= 8.
_DIGITS: Final = np.array([*kmer.DIGITS[: alphabet.NUM_BASES], -(2**16), -(2**16)])


@keras.saving.register_keras_serializable(package="genomenet")
class KmerTokens(keras.layers.Layer):
    """Turns bases into [CLS], overlapping k-mers with stride 1, [SEP].

    The [CLS] of a sequence that begins at column o is in slot o, the k-mer that begins
    at base j is in slot j + 1, and [SEP] is in the slot after the last k-mer. As
    k >= 3, all tokens of a sequence fit into the columns of that sequence, so that rows
    may hold several sequences without moving tokens, and T is static.

    Args:
        k: Bases of a k-mer, 3 to 8.

    Call arguments:
        bases: Codes of `dna.alphabet`, (B, L), each sequence at least k bases long.
        segment: Optional int, (B, L), L static: the 1-based index of the sequence to
            which a base belongs, 0 for padding; neighbouring sequences differ. Without
            it a row is one sequence, padded on the right with code 5.

    Returns:
        Dict of (B, T): "token_ids", int32, in the vocabulary of `dna.kmer`, [UNK] for
        k-mers that contain N; "padding_mask", bool, False at [PAD]; "segment_ids",
        int32, 0 at [PAD]; "position_ids", int32, counted from each [CLS]. T is
        L - k + 3; with `segment` it is L.

    Raises:
        ValueError: If k is out of range, or L is static and below k.

    Example:
        >>> import numpy as np
        >>> tokens = KmerTokens(3)(np.array([[0, 1, 2, 3]], "uint8"))  # ACGT
        >>> np.asarray(tokens["token_ids"]).tolist()
        [[2, 16, 50, 3]]

    Source:
        Ji et al., DNABERT (2021). Differences: case is folded beforehand; 510 tokens
        make 512 ids, not 514.
    """

    def __init__(self, k: int, **kwargs: Any):
        super().__init__(**kwargs)
        if not MIN_K <= k <= 8:
            raise ValueError(f"k must be {MIN_K} to 8 bases, got {k}")
        self.k = k

    def call(self, bases: Any, segment: Any = None) -> dict[str, Any]:
        k, length = self.k, bases.shape[1]
        if length is not None and length < k:
            raise ValueError(f"{length} bases are fewer than one k-mer of {k}")
        bases = ops.cast(bases, "int32")
        is_packed = segment is not None
        if segment is None:
            segment = bases != alphabet.PAD
        segment = ops.cast(segment, "int32")  # (B, L)
        # Ids at the first base of each k-mer, (B, L - k + 1).
        is_same = segment[:, : 1 - k] == segment[:, k - 1 :]
        is_whole = ops.logical_and(is_same, segment[:, : 1 - k] > 0)
        ids = ops.where(is_whole, self._ids(bases), kmer.PAD_ID)
        # The slot of a k-mer is one after its first base.
        ids = ops.pad(ids, ((0, 0), (1, 1)))  # (B, L - k + 3)
        num_slots = ops.shape(ids)[1]
        at_slot = segment[:, :num_slots]
        before = ops.pad(at_slot[:, :-1], ((0, 0), (1, 0)))
        is_first = ops.logical_and(at_slot != before, at_slot > 0)
        is_kmer = ids != kmer.PAD_ID
        # The first slot after the last k-mer.
        follows = ops.pad(is_kmer[:, :-1], ((0, 0), (1, 0)))
        is_last = ops.logical_and(follows, ops.logical_not(is_kmer))
        ids = ops.where(is_first, kmer.CLS_ID, ids)
        ids = ops.where(is_last, kmer.SEP_ID, ids)
        columns = ops.broadcast_to(
            ops.arange(num_slots, dtype="int32")[None], ops.shape(ids)
        )
        if is_packed:
            # Fill up to L slots.
            start = ops.where(is_first, columns, 0)
            columns = columns - _running_maximum(start)
            rest = ((0, 0), (0, k - 3))
            ids, columns, at_slot = (ops.pad(x, rest) for x in (ids, columns, at_slot))
        is_real = ids != kmer.PAD_ID
        return {
            "token_ids": ids,
            "padding_mask": is_real,
            "segment_ids": ops.where(is_real, at_slot, 0),
            "position_ids": ops.where(is_real, columns, 0),
        }

    def _ids(self, bases: Any) -> Any:
        """Returns the ids of all k-mers, [UNK] if with N: (B, L) → (B, L - k + 1)."""
        count = ops.shape(bases)[1] - self.k + 1
        digits = ops.take(ops.convert_to_tensor(_DIGITS, "int32"), bases, axis=0)
        ids = ops.zeros_like(digits[:, :count])
        for offset in range(self.k):
            ids = ids * alphabet.NUM_BASES + digits[:, offset : offset + count]
        return ops.where(ids < 0, kmer.UNK_ID, ids + kmer.NUM_SPECIAL)

    def compute_output_spec(self, bases: Any, segment: Any = None) -> Any:
        length = bases.shape[1]
        if segment is None and length is not None:
            length = length - self.k + 3
        shape = (bases.shape[0], length)
        return {
            name: keras.KerasTensor(shape, dtype=dtype)
            for name, dtype in (
                ("token_ids", "int32"),
                ("padding_mask", "bool"),
                ("segment_ids", "int32"),
                ("position_ids", "int32"),
            )
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k}


def _running_maximum(x: Any) -> Any:
    """Returns the cumulative maximum along each row, int (B, T); T static.

    It doubles the reach in each step. On TensorFlow, XLA does not compile
    `ops.associative_scan`.
    """
    step = 1
    while step < x.shape[1]:
        x = ops.maximum(x, ops.pad(x[:, :-step], ((0, 0), (step, 0))))
        step *= 2
    return x
