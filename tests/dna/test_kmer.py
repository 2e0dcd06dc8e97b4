import itertools

import numpy as np
import pytest

from genomenet.dna import alphabet, encode, kmer

# From the vocabulary that DNABERT was published with.
KNOWN = {
    "AAAAAA": 5,
    "AAAAAT": 6,
    "AAAAAC": 7,
    "AAAAAG": 8,
    "ACGTAC": 727,
    "TTTTTT": 1370,
    "CCCCCC": 2735,
    "GGGGGG": 4100,
}


def tokens(letters, k):
    """Reads k-mers one by one from a dict, as a text model does."""
    ids = {word: i for i, word in enumerate(kmer.vocabulary(k))}
    words = [letters[i : i + k] for i in range(len(letters) - k + 1)]
    return [ids.get(word, ids["[UNK]"]) for word in words]


def random_codes(length, seed=0, largest=alphabet.N):
    rng = np.random.default_rng(seed)
    return rng.integers(0, largest + 1, length).astype(np.uint8)


@pytest.mark.parametrize(("k", "size"), [(3, 69), (4, 261), (5, 1029), (6, 4101)])
def test_size_of_the_published_vocabularies(k, size):
    assert kmer.vocabulary_size(k) == size


@pytest.mark.parametrize("k", range(1, 9))
def test_vocabulary_is_in_id_order_without_repeats(k):
    words = kmer.vocabulary(k)
    assert len(words) == len(set(words)) == kmer.vocabulary_size(k) == 4**k + 5
    assert words[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert words[5:9] == ["A" * (k - 1) + letter for letter in "ATCG"]
    assert words[-1] == "G" * k
    assert {len(word) for word in words[5:]} == {k}


def test_specials_are_where_their_ids_say():
    ids = (kmer.PAD_ID, kmer.UNK_ID, kmer.CLS_ID, kmer.SEP_ID, kmer.MASK_ID)
    assert ids == (0, 1, 2, 3, 4)
    assert kmer.NUM_SPECIAL == 5
    assert [kmer.vocabulary(1)[i].strip("[]") for i in ids] == [
        "PAD",
        "UNK",
        "CLS",
        "SEP",
        "MASK",
    ]


@pytest.mark.parametrize(("word", "expected"), KNOWN.items())
def test_known_ids(word, expected):
    assert kmer.vocabulary(6)[expected] == word
    assert kmer.tokenize(encode.encode(word), 6).tolist() == [expected]


def test_digits_follow_the_published_order_and_cannot_be_changed():
    codes = (alphabet.A, alphabet.C, alphabet.G, alphabet.T)
    assert [int(kmer.DIGITS[code]) for code in codes] == [0, 2, 3, 1]
    assert kmer.DIGITS.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        kmer.DIGITS[0] = 1


@pytest.mark.parametrize("k", range(1, 9))
def test_tokenize_agrees_with_a_dict_of_words(k):
    codes = random_codes(300)
    found = kmer.tokenize(codes, k)
    assert found.dtype == np.int32
    assert found.tolist() == tokens(encode.decode(codes).decode(), k)


@pytest.mark.parametrize("k", range(1, 5))
def test_every_kmer_has_its_own_id(k):
    words = map("".join, itertools.product("ACGT", repeat=k))
    found = {int(kmer.tokenize(encode.encode(word), k)[0]) for word in words}
    assert found == set(range(5, 4**k + 5))


@pytest.mark.parametrize("code", [alphabet.N, alphabet.PAD])
def test_one_base_that_is_none_hides_the_kmers_over_it(code):
    codes = random_codes(20, largest=alphabet.T)
    codes[9] = code
    is_unknown = kmer.tokenize(codes, 6) == kmer.UNK_ID
    assert np.flatnonzero(is_unknown).tolist() == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("length", [0, 1, 5])
def test_what_is_shorter_than_a_kmer_has_no_tokens(length):
    found = kmer.tokenize(np.zeros(length, np.uint8), 6)
    assert found.shape == (0,)
    assert found.dtype == np.int32


@pytest.mark.parametrize("k", [-1, 0, 9])
def test_k_out_of_range(k):
    for call in (
        lambda: kmer.vocabulary(k),
        lambda: kmer.vocabulary_size(k),
        lambda: kmer.tokenize([0] * 20, k),
    ):
        with pytest.raises(ValueError, match=f"k must be 1 to 8 bases, got {k}"):
            call()


@pytest.mark.parametrize(
    ("codes", "message"), [([[0, 1]], "one axis"), ([6], "0 to 5"), ([-1], "0 to 5")]
)
def test_codes_that_are_none(codes, message):
    with pytest.raises(ValueError, match=message):
        kmer.tokenize(codes, 1)
