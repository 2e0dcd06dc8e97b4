"""Readouts against plain loops over the sequence."""

import itertools

import numpy as np
import pytest

from genomenet.dna import alphabet, encode
from genomenet.layers import readout


def padded(*texts):
    width = max(map(len, texts))
    bases = np.full((len(texts), width), alphabet.PAD, "uint8")
    for row, text in zip(bases, texts, strict=True):
        row[: len(text)] = encode.encode(text)
    return bases


@pytest.mark.parametrize("length", [1, 3, 8, 9, 23])
def test_bins_hold_every_position(length):
    x = np.random.default_rng(0).normal(size=(1, 25, 2)).astype("float32")
    is_real = np.arange(25)[None] < length
    found = np.asarray(readout.bins(x, is_real)).reshape(8, 2)
    for number in range(8):
        first = number * length // 8
        stop = max((number + 1) * length // 8, first + 1)
        expected = x[0, first:stop].mean(axis=0)
        np.testing.assert_allclose(found[number], expected, atol=1e-6)
    mean = np.asarray(readout.mean(x, is_real))
    np.testing.assert_allclose(mean[0], x[0, :length].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("k", [3, 6])
@pytest.mark.parametrize("canonical", [False, True])
def test_kmers_are_counted(k, canonical):
    texts = ["ACGTNACGTTGACCA", "AC", "TTTTTTTT"]
    found = np.asarray(readout.kmers(padded(*texts), k, canonical=canonical))
    assert found.shape[1] == readout.bases_width(f"kmers{k}", 0, canonical=canonical)
    order = list(map("".join, itertools.product("ATCG", repeat=k)))
    pairs = str.maketrans("ACGT", "TGCA")
    keys = {}
    for word in order:
        other = word.translate(pairs)[::-1] if canonical else word
        keys[word] = keys.get(other, len(set(keys.values())))
    for row, text in zip(found, texts, strict=True):
        words = [text[at : at + k] for at in range(len(text) - k + 1)]
        words = [word for word in words if "N" not in word]
        expected = np.zeros(found.shape[1])
        for word in words:
            expected[keys[word]] += 1 / len(words)
        np.testing.assert_allclose(row, np.sqrt(expected), atol=1e-6)


def test_both_strands_have_the_same_canonical_kmers():
    bases = np.random.default_rng(0).integers(0, 4, (2, 30)).astype("uint8")
    a, b = (readout.kmers(x, 4, canonical=True) for x in (bases, 3 - bases[:, ::-1]))
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_one_hot_positions():
    found = np.asarray(readout.one_hot(padded("ACN", "T"), 4)).reshape(2, 4, 4)
    assert found[0].argmax(-1)[:2].tolist() == [0, 1]
    assert found[1, 0].tolist() == [0, 0, 0, 1]
    assert found.sum() == 3
