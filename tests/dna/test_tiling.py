import numpy as np
import pytest

from genomenet.dna import encode, tiling


@pytest.mark.parametrize(
    ("length", "window", "stride", "expected"),
    [
        (10, 60, 60, [0]),
        (60, 60, 60, [0]),
        (61, 60, 60, [0, 1]),
        (120, 60, 60, [0, 60]),
        (130, 60, 30, [0, 30, 60, 70]),
    ],
)
def test_windows_cover_every_base(length, window, stride, expected):
    assert tiling.starts(length, window=window, stride=stride) == expected


@pytest.mark.parametrize("length", [1, 3, 8, 9])
def test_windows_without_n(length):
    letters = "ACGNTTRA"
    expected = [
        start
        for start in range(len(letters) - length + 1)
        if set(letters[start : start + length]) <= set("ACGT")
    ]
    found = tiling.starts_without_n(encode.encode(letters), length)
    assert found.tolist() == expected
    assert tiling.starts_without_n(np.zeros(0, np.uint8), length).tolist() == []
