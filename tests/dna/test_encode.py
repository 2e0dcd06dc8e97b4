import numpy as np
import pytest

from genomenet.dna import alphabet, encode

LENGTHS = [0, 1, 2, 7, 1000]
EVERY_LETTER = "AaCcGgTtUuNnRrYySsWwKkMmBbDdHhVv-."


def random_codes(length, *, largest=alphabet.PAD, rows=()):
    rng = np.random.default_rng(length)
    return rng.integers(0, largest + 1, (*rows, length), np.uint8)


def normalised(text):
    """Says in plain Python what reading does to letters."""
    text = text.upper().replace("U", "T")
    return "".join(letter if letter in "ACGT" else "N" for letter in text)


@pytest.mark.parametrize("length", LENGTHS)
def test_decode_of_encode_is_the_normalised_sequence(length):
    rng = np.random.default_rng(length)
    text = "".join(rng.choice(list(EVERY_LETTER), length))
    assert encode.decode(encode.encode(text)) == normalised(text).encode()


def test_encode_takes_text_bytes_and_byte_arrays():
    expected = np.array([0, 1, 2, 3, 3, 4, 4], np.uint8)
    raw = b"aCgTuN-"
    for sequence in (raw.decode(), raw, bytearray(raw), np.frombuffer(raw, np.uint8)):
        codes = encode.encode(sequence)
        np.testing.assert_array_equal(codes, expected)
        assert codes.dtype == np.uint8
        assert codes.flags.writeable


@pytest.mark.parametrize("block", [1, 2, 3, 5])
def test_blocks_do_not_show(monkeypatch, block):
    monkeypatch.setattr(encode, "_BLOCK", block)
    assert encode.decode(encode.encode("ACGTNACGT")) == b"ACGTNACGT"
    with pytest.raises(ValueError, match="'X' at position 6 "):
        encode.encode("ACGTNXCGT")


@pytest.mark.parametrize(
    ("sequence", "shown", "position"),
    [
        ("ACX", "'X'", 3),
        ("1ACX", "'1'", 1),
        ("AC*", r"'\*'", 3),
        ("A C", "' '", 2),
        ("A\nC", "0x0a", 2),
        ("AC\0T", "0x00", 3),
        (b"AC\0T", "0x00", 3),
        ("ACéT", "'é'", 3),
        (b"AC\xc3\xa9T", "'é'", 3),
        ("AC\udcc3\udca9T", "'é'", 3),
        (b"AC\xe9T", "0xe9", 3),
        ("AC\udce9T", "0xe9", 3),
        (b"\xff", "0xff", 1),
        ("基A", "'基'", 1),
        ("😀A", "'😀'", 1),
        ("A\ud800", "0xd800", 2),
        (np.frombuffer(b"ACGTQ", np.uint8), "'Q'", 5),
    ],
)
def test_a_wrong_character_is_shown_with_its_position(sequence, shown, position):
    message = f"^record 'chr1': {shown} at position {position} is not"
    with pytest.raises(ValueError, match=message):
        encode.encode(sequence, name="chr1")


def test_every_other_byte_is_refused():
    for byte in range(256):
        raw = bytes([65, byte, 65])
        if chr(byte) in EVERY_LETTER:
            assert encode.encode(raw).size == 3
        else:
            with pytest.raises(ValueError, match=" at position 2 "):
                encode.encode(raw)


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, 2), np.uint8)])
def test_encode_refuses_other_arrays(array):
    with pytest.raises(TypeError, match="uint8 array"):
        encode.encode(array)


@pytest.mark.parametrize("codes", [[0, 5], [0, 255], [-1]])
def test_decode_refuses_codes_without_letter(codes):
    with pytest.raises(ValueError, match=r"codes must be in 0\.\.4"):
        encode.decode(codes)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, bool])
@pytest.mark.parametrize("rows", [(), (3,), (2, 3)])
def test_one_hot_has_a_channel_a_base(rows, dtype):
    codes = random_codes(50, largest=alphabet.N, rows=rows)
    x = encode.one_hot(codes, dtype)
    assert x.shape == (*rows, 50, 4)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x.astype(int).sum(-1), codes < 4)
    np.testing.assert_array_equal(x.argmax(-1)[codes < 4], codes[codes < 4])


def test_padding_is_zero():
    x = encode.one_hot([alphabet.PAD, alphabet.G])
    np.testing.assert_array_equal(x, [[0, 0, 0, 0], [0, 0, 1, 0]])


def test_one_hot_of_nothing_is_empty():
    assert encode.one_hot(np.zeros(0, np.uint8)).shape == (0, 4)


@pytest.mark.parametrize("codes", [[6], [-1], [0.0]])
@pytest.mark.parametrize("function", [encode.one_hot, encode.reverse_complement])
def test_codes_outside_the_alphabet_are_refused(function, codes):
    with pytest.raises(ValueError, match="codes must be"):
        function(codes)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("rows", [(), (3,)])
def test_reverse_complement_undoes_itself(length, rows):
    codes = random_codes(length, rows=rows)
    strand = encode.reverse_complement(codes)
    assert strand.dtype == np.uint8
    np.testing.assert_array_equal(encode.reverse_complement(strand), codes)
    # The order A, C, G, T makes the complement a flip of the channels.
    flipped = encode.one_hot(codes)[..., ::-1, ::-1]
    np.testing.assert_array_equal(encode.one_hot(strand), flipped)


def test_reverse_complement_against_letters():
    codes = encode.encode("AACGTNNTC")
    assert encode.decode(encode.reverse_complement(codes)) == b"GANNACGTT"


def test_every_substitution_once():
    codes = encode.encode("ANGT")
    places, bases = encode.substitutions(codes)
    assert places.tolist() == [0, 0, 0, 2, 2, 2, 3, 3, 3]
    assert bases.tolist() == [1, 2, 3, 0, 1, 3, 0, 1, 2]
    rows = encode.substituted(codes, places, bases)
    texts = {encode.decode(row).decode() for row in rows}
    assert texts == {f"{a}NGT" for a in "CGT"} | {f"AN{b}T" for b in "ACT"} | {
        f"ANG{c}" for c in "ACG"
    }
    assert not len(encode.substitutions(encode.encode("NN"))[0])


@pytest.mark.parametrize("lengths", [[], [0], [3], [2, 5, 0, 5]])
@pytest.mark.parametrize("more", [None, 0, 4])
def test_rows_are_padded_on_the_right(lengths, more):
    sequences = [random_codes(length, largest=alphabet.N) for length in lengths]
    longest = max(lengths, default=0)
    rows = encode.pad(sequences, None if more is None else longest + more)
    assert rows.shape == (len(lengths), longest + (more or 0))
    assert rows.dtype == np.uint8
    for row, sequence in zip(rows, sequences, strict=True):
        np.testing.assert_array_equal(row[: len(sequence)], sequence)
        assert (row[len(sequence) :] == alphabet.PAD).all()


def test_a_base_is_taken_out_or_put_in():
    codes, places = encode.encode("ACGT"), np.arange(4)
    rows = encode.deleted(codes, places)
    assert [encode.decode(x) for x in rows] == [b"CGTN", b"AGTN", b"ACTN", b"ACGN"]
    rows = encode.inserted(codes, places, np.array([3, 2, 1, 0], np.uint8))
    assert [encode.decode(x) for x in rows] == [b"TACG", b"AGCG", b"ACCG", b"ACGA"]
