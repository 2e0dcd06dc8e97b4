import collections

import numpy as np
import pytest

from genomenet.dna import encode
from genomenet.motifs.discovery import scan, words

RNG = np.random.default_rng(0)
TEXTS = [
    RNG.choice(5, n, p=[0.4, 0.1, 0.1, 0.38, 0.02]).astype(np.uint8)
    for n in (300, 200, 5, 400, 300)
]


def counted(texts, width, both_strands):
    """In how many texts each word occurs."""
    counts = collections.Counter()
    for codes in texts:
        letters = encode.decode(codes)
        found = {letters[i : i + width] for i in range(len(letters) - width + 1)}
        found = {word for word in found if b"N" not in word}
        if both_strands:
            pair = bytes.maketrans(b"ACGT", b"TGCA")
            found = {min(word, word.translate(pair)[::-1]) for word in found}
        counts.update(found)
    return counts


@pytest.mark.parametrize("both_strands", [True, False])
@pytest.mark.parametrize("width", [6, 9, 20])
def test_words_count_once_a_sequence(width, both_strands):
    given = scan.SequenceSet(TEXTS[:2], TEXTS[2:], both_strands=both_strands)
    counts = words.count(given, width)
    names = [encode.decode(w) for w in words.letters(counts.words, width)]
    assert names == sorted(names)
    for found, texts in (
        (counts.positives, TEXTS[:2]),
        (counts.negatives, TEXTS[2:]),
    ):
        expected = counted(texts, width, both_strands)
        pairs = zip(names, found.tolist(), strict=True)
        assert {w: n for w, n in pairs if n} == dict(expected)


def test_no_word_at_all():
    given = scan.SequenceSet([TEXTS[2]], [], both_strands=True)
    counts = words.count(given, 8)
    assert [len(part) for part in counts[:3]] == [0, 0, 0]


def test_distinct_words_are_no_shifted_or_changed_ones():
    given = [
        b"ATGCAAAT",
        b"TGCAAATG",  # shifted
        b"ATGCATAT",  # one base changed
        b"ATTTGCAT",  # the other strand
        b"CATTTGCA",  # that shifted
        b"GGGGCCCA",
    ]
    letters = np.array([encode.encode(w) for w in given])
    assert words.distinct(letters, 5, both_strands=True) == [0, 5]
    assert words.distinct(letters, 5, both_strands=False) == [0, 3, 5]
    assert words.distinct(letters, 1, both_strands=True) == [0]
