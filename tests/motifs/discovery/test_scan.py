import numpy as np
import pytest

from genomenet.dna import alphabet, encode
from genomenet.motifs.discovery import scan


def random_codes(length, seed, with_n=True):
    rng = np.random.default_rng(seed)
    p = [0.24, 0.24, 0.24, 0.24, 0.04] if with_n else [0.25] * 4
    return rng.choice(len(p), length, p=p).astype(np.uint8)


PRIMARY = [random_codes(n, n) for n in (60, 3, 25, 90)]
CONTROL = [random_codes(n, n) for n in (40, 0, 70)]


def sequence_set(both_strands=True):
    return scan.SequenceSet(PRIMARY, CONTROL, both_strands=both_strands)


def sites(codes, log_odds, both_strands):
    """All (score, start, is_reverse, word) of a sequence, base by base."""
    found = []
    width = len(log_odds)
    for start in range(len(codes) - width + 1):
        word = codes[start : start + width]
        if (word >= alphabet.N).any():
            continue
        for is_reverse in (False, True)[: 1 + both_strands]:
            read = encode.reverse_complement(word) if is_reverse else word
            score = sum(log_odds[i, b] for i, b in enumerate(read))
            found.append((score, start, is_reverse, read.tolist()))
    return found


@pytest.mark.parametrize("width", [6, 8, 12, 13, 20])
@pytest.mark.parametrize("both_strands", [True, False])
def test_best_places_are_those_found_base_by_base(width, both_strands):
    log_odds = np.random.default_rng(width).normal(0, 2, (width, 4))
    given = sequence_set(both_strands)
    scores = given.score(log_odds)
    expected = [
        max(sites(codes, log_odds, both_strands), default=None)
        for codes in PRIMARY + CONTROL
    ]
    bests = [e[0] if e else -np.inf for e in expected]
    np.testing.assert_allclose(given.best(scores), bests, rtol=1e-5)
    threshold = float(np.median([b for b in bests if np.isfinite(b)]))
    hits = given.hits(scores, threshold - 1e-3)
    holding = [i for i in range(4) if bests[i] >= threshold]
    assert hits.sequences.tolist() == holding
    for row, number in enumerate(holding):
        _, start, is_reverse, word = expected[number]
        assert hits.places[row] - given.starts[number] == start
        assert hits.is_reverse[row] == is_reverse
        assert hits.words[row].tolist() == word


def test_no_primary_sequence_has_a_site():
    given = sequence_set()
    scores = given.score(np.ones((8, 4)))
    assert len(given.hits(scores, 100.0).places) == 0


def test_erased_places_are_gone():
    log_odds = np.random.default_rng(1).normal(0, 2, (8, 4))
    given = sequence_set()
    scores = given.score(log_odds)
    threshold = float(np.median(given.best(scores)[[0, 3, 4, 6]]))
    before = given.text.copy()
    given.erase(scores, threshold)
    changed = np.flatnonzero(given.text != before)
    assert len(changed)
    assert (given.text[changed] == alphabet.N).all()
    assert given.best(given.score(log_odds)).max() < threshold


def test_flanks_stay_inside_their_sequence():
    text = b"CCAAAAAACGT"
    for letters, strand in ((text, False), (encode.decode(text_reverse(text)), True)):
        given = scan.SequenceSet(
            [encode.encode(letters)], [encode.encode(b"GGGGGGGG")], both_strands=True
        )
        log_odds = np.tile([1.0, -1, -1, -1], (6, 1))
        hits = given.hits(given.score(log_odds), 5.0)
        assert hits.is_reverse.tolist() == [strand]
        assert encode.decode(given.flanked(hits, 6, 4)[0]) == b"NNCCAAAAAACGTN"


def text_reverse(text):
    return encode.reverse_complement(encode.encode(text))


@pytest.mark.parametrize("width", [6, 7, 12, 15, 20])
@pytest.mark.parametrize("both_strands", [True, False])
def test_numbers_of_words(width, both_strands):
    given = sequence_set(both_strands)

    def number(word):
        return sum(int(b) << 2 * i for i, b in enumerate(word[::-1]))

    expected = []
    for codes in PRIMARY + CONTROL:
        for start in range(len(codes) + 1):
            word = codes[start : start + width]
            if len(word) < width or (word >= alphabet.N).any():
                expected.append(-1)
                continue
            other = number(encode.reverse_complement(word))
            expected.append(min(number(word), other) if both_strands else number(word))
    assert given.numbers(width).tolist() == expected


def test_sites_are_counted_and_sets_drawn_anew():
    given = sequence_set()
    assert given.num_sites(10) == (51 + 16 + 81, 31 + 61)
    other = given.select(np.array([False, True, False, True, True, False, False]))
    assert other.num_primary == 3
    assert other.lengths.tolist() == [3, 90, 40, 60, 25, 0, 70]
    np.testing.assert_array_equal(other.text[4:94], PRIMARY[3])
