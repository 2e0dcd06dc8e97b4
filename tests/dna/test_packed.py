import numpy as np
import pytest

from genomenet.dna import alphabet, packed


@pytest.fixture(scope="module")
def codes():
    found = np.random.default_rng(0).integers(0, 4, 4003).astype(np.uint8)
    for start, end in ((0, 1), (5, 6), (100, 102), (2500, 2730), (3990, 4003)):
        found[start:end] = alphabet.N
    return found


def test_four_bases_are_a_byte(codes):
    assert packed.pack(np.array([3, 0, 2, 1, 1], np.uint8)).tolist() == [0b01100011, 1]
    assert len(packed.pack(codes)) == 1001


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 64, 3999, 4003])
def test_windows_from_anywhere(codes, length):
    genome = packed.of(codes)
    starts = np.random.default_rng(1).permutation(len(codes) - length + 1)[:500]
    windows = np.lib.stride_tricks.sliding_window_view(codes, length)[starts]
    np.testing.assert_array_equal(genome.take(starts, length), windows)
    num_n = (windows == alphabet.N).sum(axis=1)
    np.testing.assert_array_equal(genome.count_n(starts, starts + length), num_n)


@pytest.mark.parametrize("length", [1, 3, 4, 5])
def test_genomes_shorter_than_what_is_read_at_once(length):
    codes = np.array([2, 1, 4, 0, 3], np.uint8)[:length]
    found = packed.of(codes).take(np.array([0]), length)
    np.testing.assert_array_equal(found, [codes])


def test_the_digest_is_that_of_the_bases(codes):
    digest = packed.of(codes).digest()
    assert packed.of(codes.copy()).digest() == digest
    for position, code in ((7, codes[7] ^ 1), (0, 0)):  # another base, no longer N
        other = codes.copy()
        other[position] = code
        assert packed.of(other).digest() != digest
