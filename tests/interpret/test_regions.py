import numpy as np
import pytest

from genomenet.dna import alphabet
from genomenet.interpret import attribution, regions


def slow_regions(scores, min_length, factor):
    mean, least = sum(scores) / len(scores), min(scores)
    found, start = [], None
    for at, score in enumerate([*scores, None]):
        if score is not None and score > mean and score > factor * least:
            start = at if start is None else start
        else:
            if start is not None and at - start >= min_length:
                found.append((start, at))
            start = None
    return found


@pytest.mark.parametrize("arguments", [{}, {"min_length": 1}, {"factor": 1.5}])
def test_high_regions_are_dnaberts(arguments):
    rng = np.random.default_rng(0)
    found_any = 0
    for length in (1, 4, 5, 23, 24, 60, 300):
        smooth = np.convolve(rng.random(length + 4), np.ones(5), "valid")
        scores = (smooth - smooth.min() + 0.02).tolist()
        found = regions.high_regions(scores, **arguments)
        settings = {"min_length": 5, "factor": 10.0, **arguments}
        assert found == slow_regions(scores, **settings)
        found_any += len(found)
    assert found_any


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], []),
        ([3.0], []),
        ([1.0] * 30, []),  # none is above the mean
        ([0.0] * 30, []),
        ([9.0] * 5 + [0.1] * 20, [(0, 5)]),  # at the first base
        ([0.1] * 20 + [9.0] * 5, [(20, 25)]),  # to the last
        ([9.0] * 4 + [0.1] * 20, []),  # a base too short
        ([9.0] * 5 + [1.0] * 20, []),  # not ten times the minimum
        ([5.0] * 6 + [0.1] + [5.0] * 6 + [0.1] * 9, [(0, 6), (7, 13)]),
        ([-2.0] * 10 + [3.0] * 6, [(10, 16)]),  # signed scores
    ],
)
def test_high_regions_at_edges_and_of_equal_scores(scores, expected):
    assert regions.high_regions(scores) == expected


def test_high_regions_of_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="2 axes"):
        regions.high_regions([[1.0, 2.0]])
    with pytest.raises(ValueError, match="min_length 0"):
        regions.high_regions([1.0, 2.0], min_length=0)


@pytest.mark.parametrize(
    ("given", "length", "windows"),
    [
        ([], 100, []),
        ([(40, 50)], 100, [(33, 57)]),
        ([(0, 5)], 100, [(0, 24)]),
        ([(95, 100)], 100, [(76, 100)]),
        ([(2, 8)], 10, [(0, 10)]),  # shorter than a window
        ([(3, 8), (9, 14)], 20, [(0, 20)]),
        ([(30, 70)], 100, [(30, 70)]),  # longer than a window
        ([(40, 45), (50, 55)], 100, [(30, 64)]),  # joined
        ([(10, 20), (50, 60)], 100, [(3, 27), (43, 67)]),
        ([(0, 24), (26, 46)], 100, [(0, 24), (24, 48)]),
    ],
)
def test_windows_lie_within_the_sequence_and_apart(given, length, windows):
    assert regions.widen(given, length) == windows
    for start, end in windows:
        assert 0 <= start < end <= length


def test_windows_are_cut_out_by_name():
    sequences = np.full((2, 40), alphabet.PAD, np.uint8)
    sequences[0] = np.arange(40) % 4
    sequences[1, :12] = 3
    scores = np.zeros((2, 40), np.float32)
    scores[0, 30:36] = 1
    scores[1, 2:8] = 1
    found = attribution.Attribution(("a", "b"), sequences, scores, "attention")
    (first, codes), (second, short) = regions.high_windows(found)
    assert (first, second) == ("a:16-40", "b:0-12")
    assert codes.tolist() == [i % 4 for i in range(16, 40)]
    assert short.tolist() == [3] * 12
