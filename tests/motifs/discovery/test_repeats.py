"""What comes again is used once."""

import numpy as np
import pytest

from genomenet.dna import alphabet
from genomenet.motifs.discovery import repeats


def draw(length, seed):
    return np.random.default_rng(seed).integers(0, 4, length).astype(np.uint8)


def other(codes):
    return alphabet.COMPLEMENT[codes[::-1]]


def names(found):
    return [name for name, _ in found.sequences]


def test_different_sequences_stay_as_they_are():
    given = [(f"s{n}", draw(200, n)) for n in range(100)]
    given += [("tandem", np.tile(draw(3, 0), 40)), ("short", draw(5, 1))]
    found = repeats.unique(given)
    assert (found.repeats, found.overlaps) == (0, 0)
    for (_, a), (_, b) in zip(found.sequences, given, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("length", [7, 40, 200])
def test_copies_on_either_strand_are_left_out(length):
    codes = draw(length, 0)
    given = [("a", codes), ("b", draw(length, 1)), ("c", codes), ("d", other(codes))]
    found = repeats.unique(given)
    assert names(found) == ["a", "b"]
    assert found.repeats == 2
    assert names(repeats.unique(given, both_strands=False)) == ["a", "b", "d"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.03])
def test_copies_with_some_bases_changed_or_cut_off_are_left_out(share):
    rng = np.random.default_rng(5)
    given = [("a", draw(300, 0))]
    for number in range(20):
        codes = given[0][1][rng.integers(0, 60) : 300 - rng.integers(0, 60)].copy()
        changed = rng.random(len(codes)) < share
        codes[changed] = (codes[changed] + 1) % 4
        given.append((f"b{number}", other(codes) if number % 2 else codes))
    found = repeats.unique(given)
    assert found.repeats + found.overlaps == 20
    assert found.repeats >= 15


def test_what_overlaps_is_used_once():
    genome = draw(2000, 0)
    starts = np.random.default_rng(1).integers(0, 1850, 200)
    given = [(f"w{s}#{n}", genome[s : s + 150]) for n, s in enumerate(starts)]
    found = repeats.unique(given)
    used = np.zeros(2000, int)
    for name, codes in found.sequences:
        start = int(name[1:].split("#")[0])
        used[start : start + 150] += codes < 4
    assert (used > 1).sum() < 40 * len(found.sequences)
    assert used.max() <= 2  # within a word of the border
    assert (used > 0).mean() > 0.6
    assert found.repeats + len(found.sequences) == 200


def test_nothing_and_n():
    assert repeats.unique([]).sequences == []
    empty = [("a", np.zeros(0, np.uint8)), ("n", np.full(50, 4, np.uint8))]
    assert names(repeats.unique(empty)) == ["a", "n"]
