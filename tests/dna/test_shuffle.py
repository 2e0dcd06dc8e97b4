import collections

import numpy as np
import pytest
from scipy import stats

from genomenet.dna import encode, shuffle


def random_codes(length, seed=0, largest=3):
    rng = np.random.default_rng(seed)
    return rng.integers(0, largest + 1, length).astype(np.uint8)


def lets(codes, k):
    letters = encode.decode(codes)
    return collections.Counter(letters[i : i + k] for i in range(len(letters) - k + 1))


@pytest.mark.parametrize("order", range(6))
def test_counts_of_all_lets_are_kept(order):
    before = [random_codes(n, seed=n) for n in (300, 7, 1, 0, 120, 200, 2)]
    before.append(np.zeros(40, np.uint8))
    after = shuffle.shuffle(before, order=order, seed=3)
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        assert new.dtype == np.uint8
        for k in range(1, order + 2):
            assert lets(new, k) == lets(old, k)
    moved = np.mean(after[0] != before[0])
    assert moved > 0.2


def test_pieces_between_n_are_shuffled_each():
    text = b"NN" + b"ACGTTGCAAC" * 3 + b"N" + b"CCGGCTCGCGGC" * 2 + b"NNNGN"
    codes = encode.encode(text)
    (shuffled,) = shuffle.shuffle([codes], order=1, seed=0)
    after = encode.decode(shuffled)
    assert after != text
    for old, new in zip(text.split(b"N"), after.split(b"N"), strict=True):
        for k in (1, 2):
            assert lets(encode.encode(new), k) == lets(encode.encode(old), k)


def same_counts(start, left, order):
    """All ways to go on with every word that is left, once each."""
    if not left:
        return {start}
    found = set()
    for word in left:
        if word[:order] == start[len(start) - order :]:
            rest = left - collections.Counter([word])
            found |= same_counts(start + word[order:], rest, order)
    return found


@pytest.mark.parametrize(
    ("text", "order"), [(b"ACAGACTAA", 1), (b"AACAGACACT", 1), (b"AAACAACAAGAAC", 2)]
)
def test_all_sequences_with_the_same_counts_are_equally_likely(text, order):
    codes = encode.encode(text)
    same = same_counts(text[:order], lets(codes, order + 1), order)
    number = 4000
    after = shuffle.shuffle([codes] * number, order=order, seed=5)
    found = collections.Counter(map(encode.decode, after))
    assert set(found) == same
    assert len(same) > 3
    assert stats.chisquare([found[s] for s in same]).pvalue > 1e-3


def test_seed_fixes_the_result_and_input_stays():
    codes = random_codes(100)
    codes.setflags(write=False)
    first, second, other = (
        shuffle.shuffle([codes], order=2, seed=s)[0] for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()
    np.testing.assert_array_equal(codes, random_codes(100))


def test_nothing_to_shuffle():
    assert shuffle.shuffle([], order=2, seed=0) == []


def test_order_is_checked():
    with pytest.raises(ValueError, match="order must be 0 to 12, got -1"):
        shuffle.shuffle([], order=-1, seed=0)
