"""Readouts: the features that a classifier reads of states and bases; keras only.

Padding on the right, code 5, does not change any result.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
from keras import ops

from genomenet.dna import alphabet, kmer

NUM_BINS: Final = 8
ONE_HOT: Final = "onehot"
KMERS: Final = {f"kmers{k}": k for k in range(3, 7)}
"""Name of a k-mer count readout → k."""

OF_BASES: Final = (*KMERS, ONE_HOT)
"""Readouts of the bases themselves, not of the states of an encoder."""


def mean(x: Any, is_real: Any) -> Any:
    """Returns the mean over real positions.

    Args:
        x: Float, (B, T, C).
        is_real: Bool, (B, T), True for at least one position of each row.

    Returns:
        The same type, (B, C), summed in float32: half precision cannot sum hundreds of
        positions.
    """
    is_real = is_real[..., None]
    total = ops.sum(ops.where(is_real, ops.cast(x, "float32"), 0.0), axis=1)
    return ops.cast(total / ops.sum(ops.cast(is_real, "float32"), axis=1), x.dtype)


def bins(x: Any, is_real: Any, count: int = NUM_BINS) -> Any:
    """Returns the means over bins of equal width along the real positions.

    Args:
        x: Float, (B, T, C).
        is_real: Bool, (B, T), True for the first n >= 1 positions of each row.
        count: Number of bins, K. Bin b has the positions ⌊b·n/K⌋ to ⌊(b + 1)·n/K⌋, but
            at least one: if n < K, neighbouring bins share positions.

    Returns:
        The same type, (B, K·C), the first bin first.
    """
    shares = bin_shares(is_real, count)
    real = ops.where(is_real[..., None], ops.cast(x, "float32"), 0.0)
    means = ops.matmul(shares, real)  # (B, K, C)
    return ops.cast(ops.reshape(means, (-1, count * x.shape[-1])), x.dtype)


def bin_shares(is_real: Any, count: int = NUM_BINS) -> Any:
    """Returns the weights of positions in `bins`: bool (B, T) → float32 (B, K, T)."""
    total = ops.sum(ops.cast(is_real, "int32"), axis=1)[:, None]  # (B, 1)
    bin_index = ops.arange(count, dtype="int32")[None]
    first = bin_index * total // count  # (B, K)
    stop = ops.maximum((bin_index + 1) * total // count, first + 1)
    columns = ops.arange(ops.shape(is_real)[1], dtype="int32")[None, None]
    is_in = ops.logical_and(columns >= first[..., None], columns < stop[..., None])
    return ops.cast(is_in, "float32") / ops.cast(stop - first, "float32")[..., None]


def of_bases(name: str, bases: Any, length: int, *, canonical: bool) -> Any:
    """Returns one of the readouts `OF_BASES`.

    Args:
        name: Its name.
        bases: As for `kmers` and `one_hot`.
        length: As for `one_hot`.
        canonical: As for `kmers`.

    Returns:
        Float32, (B, F).
    """
    if name == ONE_HOT:
        return one_hot(bases, length)
    return kmers(bases, KMERS[name], canonical=canonical)


def bases_width(name: str, length: int, *, canonical: bool) -> int:
    """Returns the number of features, F, of `of_bases`."""
    if name == ONE_HOT:
        return alphabet.NUM_BASES * length
    return int(_features(KMERS[name], canonical).max()) + 1


def kmers(bases: Any, k: int, *, canonical: bool) -> Any:
    """Returns k-mer frequencies: the square root of the share of each k-mer.

    Args:
        bases: Codes of `dna.alphabet`, (B, L), padded on the right.
        k: Bases of a k-mer, 1 to 8.
        canonical: Whether a k-mer and its reverse complement are one feature, so
            that both strands of a sequence give the same result.

    Returns:
        Float32, (B, F), in the order of the smallest id in `dna.kmer`. K-mers that
        contain anything but A, C, G and T are not counted; a row without k-mers is all
        zeros.
    """
    feature = _features(k, canonical)
    width = int(feature.max()) + 1
    padded = ops.pad(
        ops.cast(bases, "int32"), ((0, 0), (0, k - 1)), constant_values=alphabet.PAD
    )
    rows, length = ops.shape(bases)[0], ops.shape(bases)[1]
    digits = np.concatenate([kmer.DIGITS, np.full(2, -(4**k))]).astype("int32")
    digits = ops.take(ops.convert_to_tensor(digits), padded, axis=0)
    ids = ops.zeros_like(digits[:, :length])
    for offset in range(k):
        ids = ops.maximum(ids * 4 + digits[:, offset : offset + length], -(4**k))
    # Ids of k-mers with N are below zero and stay there.
    is_kmer = ops.cast(ids >= 0, "float32")
    ids = ops.take(ops.convert_to_tensor(feature), ops.maximum(ids, 0), axis=0)
    ids = ids + ops.arange(rows, dtype="int32")[:, None] * width
    counts = ops.segment_sum(
        ops.reshape(is_kmer, (-1,)), ops.reshape(ids, (-1,)), num_segments=rows * width
    )
    counts = ops.reshape(counts, (-1, width))
    total = ops.maximum(ops.sum(is_kmer, axis=1, keepdims=True), 1.0)
    return ops.sqrt(counts / total)


def one_hot(bases: Any, length: int) -> Any:
    """Returns the one-hot bases of each position.

    Args:
        bases: Codes of `dna.alphabet`, (B, L), L at most `length`.
        length: Number of positions; those past L, like N and padding, are zeros.

    Returns:
        Float32, (B, 4·length), in the order of positions.
    """
    rest = length - ops.shape(bases)[1]
    padded = ops.pad(bases, ((0, 0), (0, rest)), constant_values=alphabet.PAD)
    table = np.eye(alphabet.PAD + 1, alphabet.NUM_BASES, dtype="float32")
    rows = ops.take(ops.convert_to_tensor(table), ops.cast(padded, "int32"), axis=0)
    return ops.reshape(rows, (-1, alphabet.NUM_BASES * length))


@keras.saving.register_keras_serializable(package="genomenet")
class Standardize(keras.layers.Layer):
    """Subtracts a constant from each channel and multiplies it by another.

    The constants are non-trainable weights; initially they do not change the input.

    Args:
        width: Channels, C.

    Call arguments:
        x: Float, (..., C).

    Returns:
        The same shape, in the layer's type.
    """

    def __init__(self, width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.width = width
        self.mean = self.add_weight(
            name="mean", shape=(width,), initializer="zeros", trainable=False
        )
        self.factor = self.add_weight(
            name="factor", shape=(width,), initializer="ones", trainable=False
        )
        self.built = True

    def call(self, x: Any) -> Any:
        return (x - self.mean) * self.factor

    def compute_output_shape(self, x_shape: Any) -> Any:
        return x_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


def _features(k: int, canonical: bool) -> np.ndarray:
    """Returns the feature of each k-mer, by its index in `dna.kmer`: int32, (4^k,)."""
    features = np.arange(alphabet.NUM_BASES**k)
    if canonical:
        features = kmer.canonical_features(k)
    return features.astype("int32")
