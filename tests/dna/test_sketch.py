"""What recognises sequences, against slow plain Python."""

import numpy as np
import pytest

from genomenet.dna import alphabet, encode, sketch


def draw(length, seed=0, high=4):
    return np.random.default_rng(seed).integers(0, high, length).astype(np.uint8)


@pytest.mark.parametrize("length", [0, 1, 2, 5, 1000, sketch._BLOCK + 3])
def test_a_digest_is_shared_with_the_other_strand_only(length):
    codes = draw(length, high=5)
    digest, is_reverse = sketch.canonical(codes)
    other, other_is_reverse = sketch.canonical(encode.reverse_complement(codes))
    assert digest == other
    if length > 2:
        assert is_reverse != other_is_reverse
        changed = codes.copy()
        changed[length // 2] = (changed[length // 2] + 1) % 4
        assert sketch.canonical(changed)[0] != digest


def test_a_palindrome_of_blocks_has_one_digest():
    half = draw(sketch._BLOCK)
    codes = np.concatenate([half, encode.reverse_complement(half)])
    assert sketch.canonical(codes) == sketch.canonical(encode.reverse_complement(codes))


def slow_words(text):
    found = {}
    for place in range(len(text)):
        word = text[place - 14 : place + 18]
        is_anchor = text[place : place + 4] in ("GATC", "CATG")
        if place >= 14 and is_anchor and len(word) == 32 and "N" not in word:
            other = word[::-1].translate(str.maketrans("ACGT", "TGCA"))
            found[place] = frozenset((word, other))
    return found


@pytest.mark.parametrize("length", [0, 3, 31, 32, 33, 5000, sketch._BLOCK + 40])
def test_words_are_those_around_anchors(length):
    codes = draw(length)
    codes[::997] = alphabet.N
    hashes, places = sketch.words(codes)
    expected = slow_words(encode.decode(codes).decode())
    assert sorted(places.tolist()) == sorted(expected)
    by_word = {}
    for number, place in zip(hashes.tolist(), places.tolist(), strict=True):
        assert by_word.setdefault(expected[place], number) == number
    assert len(set(by_word.values())) == len(by_word)
    other, _ = sketch.words(encode.reverse_complement(codes))
    np.testing.assert_array_equal(np.sort(hashes), np.sort(other))


def test_a_sketch_is_bounded_and_keeps_the_same_words_of_all_contigs():
    codes = draw(200_000)
    found = sketch.Sketch(most=500)
    for number in range(3):
        found.add(codes, number * codes.size)
    hashes, places = found.words()
    assert 100 < hashes.size <= 500
    parts = [set(hashes[places // codes.size == n].tolist()) for n in range(3)]
    assert parts[0] == parts[1] == parts[2]
