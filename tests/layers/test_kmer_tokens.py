import keras
import numpy as np
import pytest

from genomenet.dna import alphabet, encode, kmer
from genomenet.layers import kmer_tokens
from tests import harness


def framed(codes, k):
    return [kmer.CLS_ID, *kmer.tokenize(codes, k).tolist(), kmer.SEP_ID]


def tokens_of(k, bases, segment=None):
    found = kmer_tokens.KmerTokens(k)(bases, segment)
    return {name: harness.array(value) for name, value in found.items()}


def random_bases(length, seed=0):
    return np.random.default_rng(seed).choice(
        [0, 1, 2, 3, 4], length, p=[0.24, 0.24, 0.24, 0.24, 0.04]
    )


@pytest.mark.parametrize("k", range(3, 9))
def test_one_sequence_a_row(k):
    lengths = [k, k + 1, 25, 30]
    bases = np.full((4, 30), alphabet.PAD, "uint8")
    for row, length in enumerate(lengths):
        bases[row, :length] = random_bases(length, seed=row)
    found = tokens_of(k, bases)
    for row, length in enumerate(lengths):
        expected = framed(bases[row, :length], k)
        ids = found["token_ids"][row]
        assert len(ids) == 30 - k + 3
        assert ids[: len(expected)].tolist() == expected
        assert not ids[len(expected) :].any()
        is_real = np.arange(len(ids)) < len(expected)
        np.testing.assert_array_equal(found["padding_mask"][row], is_real)
        np.testing.assert_array_equal(found["segment_ids"][row], is_real)
        np.testing.assert_array_equal(
            found["position_ids"][row], np.where(is_real, np.arange(len(ids)), 0)
        )


@pytest.mark.parametrize("k", range(3, 9))
def test_several_sequences_a_row(k):
    parts = [(1, k), (2, 17), (3, k), (1, 9), (0, 5)]
    bases, segment = [], []
    for number, length in parts:
        codes = random_bases(length, seed=length + number)
        bases += (codes if number else np.full(length, alphabet.PAD)).tolist()
        segment += [number] * length
    found = tokens_of(k, np.uint8([bases]), np.uint8([segment]))
    assert found["token_ids"].shape == (1, len(bases))
    start = 0
    for number, length in parts:
        expected = np.zeros(length, int)
        if number:
            part = framed(np.array(bases[start : start + length]), k)
            expected[: len(part)] = part
        slots = slice(start, start + length)
        np.testing.assert_array_equal(found["token_ids"][0, slots], expected)
        is_real = expected > 0
        np.testing.assert_array_equal(found["padding_mask"][0, slots], is_real)
        np.testing.assert_array_equal(
            found["segment_ids"][0, slots], np.where(is_real, number, 0)
        )
        np.testing.assert_array_equal(
            found["position_ids"][0, slots], np.where(is_real, np.arange(length), 0)
        )
        start += length


def test_known_ids():
    ids = tokens_of(6, encode.encode("ACGTACN")[None])["token_ids"]
    assert ids.tolist() == [[kmer.CLS_ID, 727, kmer.UNK_ID, kmer.SEP_ID]]


@pytest.mark.parametrize("k", range(3, 9))
def test_any_base_that_is_not_one_makes_its_kmers_unknown(k):
    for place in range(k):
        bases = np.full((1, k), alphabet.T, "uint8")
        bases[0, place] = alphabet.N
        assert tokens_of(k, bases)["token_ids"][0, 1] == kmer.UNK_ID
    everything = np.full((1, k), alphabet.N, "uint8")
    assert tokens_of(k, everything)["token_ids"][0, 1] == kmer.UNK_ID


def test_runs_symbolically():
    bases = keras.Input((20,), dtype="uint8")
    layer = kmer_tokens.KmerTokens(4)
    model = keras.Model(bases, layer(bases))
    codes = random_bases(20)[None].astype("uint8")
    found = model(codes)
    assert found["token_ids"].shape == (1, 19)
    np.testing.assert_array_equal(
        harness.array(found["token_ids"]), tokens_of(4, codes)["token_ids"]
    )
    assert kmer_tokens.KmerTokens.from_config(layer.get_config()).k == 4


@pytest.mark.parametrize("k", [2, 9])
def test_k_out_of_range(k):
    with pytest.raises(ValueError, match="k must be 3 to 8"):
        kmer_tokens.KmerTokens(k)


def test_too_short():
    with pytest.raises(ValueError, match="5 bases are fewer than one k-mer of 6"):
        kmer_tokens.KmerTokens(6)(np.zeros((1, 5), "uint8"))
