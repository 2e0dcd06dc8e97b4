import numpy as np
import pytest

from genomenet.dna import alphabet


def test_codes_are_in_the_order_of_the_batch_contract():
    assert (alphabet.A, alphabet.C, alphabet.G, alphabet.T) == (0, 1, 2, 3)
    assert (alphabet.N, alphabet.PAD, alphabet.NUM_BASES) == (4, 5, 4)


@pytest.mark.parametrize(
    ("letters", "code"),
    [
        ("Aa", alphabet.A),
        ("Cc", alphabet.C),
        ("Gg", alphabet.G),
        ("TtUu", alphabet.T),
        ("NnRrYySsWwKkMmBbDdHhVv-.", alphabet.N),
    ],
)
def test_letters_have_their_code(letters, code):
    assert {int(alphabet.CODES[ord(letter)]) for letter in letters} == {code}


def test_every_other_byte_is_invalid():
    known = b"AaCcGgTtUuNnRrYySsWwKkMmBbDdHhVv-."
    others = np.delete(alphabet.CODES, list(known))
    assert alphabet.CODES.shape == (256,)
    assert np.all(others == alphabet.INVALID)
    assert others.size == 256 - len(known)


def test_complement_is_an_involution_that_pairs_letters():
    complement = alphabet.COMPLEMENT
    np.testing.assert_array_equal(complement[complement], np.arange(6))
    pairs = dict(zip("ACGTN", alphabet.LETTERS[complement[:5]].tobytes(), strict=True))
    assert {k: chr(v) for k, v in pairs.items()} == dict(
        zip("ACGTN", "TGCAN", strict=True)
    )


def test_letters_invert_codes():
    np.testing.assert_array_equal(alphabet.CODES[alphabet.LETTERS], np.arange(5))


@pytest.mark.parametrize("name", ["CODES", "LETTERS", "COMPLEMENT"])
def test_tables_are_read_only_bytes(name):
    table = getattr(alphabet, name)
    assert table.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 1
