import numpy as np
import pytest
from keras import ops

from genomenet.dna import alphabet
from genomenet.layers import windows


def array(x):
    return np.asarray(ops.convert_to_numpy(x))


@pytest.mark.parametrize("shortest", [1, 3, 6])
@pytest.mark.parametrize("total", [6, 10, 11, 12, 25, 40])
def test_every_stretch_lies_in_one_window(total, shortest):
    bases = np.arange(total, dtype="int32")[None] + 100
    found, is_valid = (
        array(x) for x in windows.split(bases, length=10, shortest=shortest)
    )
    stretches = []
    for row, valid in zip(found[0], is_valid[0], strict=True):
        real = row[row >= 100].tolist() if valid else []
        stretches += [
            tuple(real[i : i + shortest]) for i in range(len(real) - shortest + 1)
        ]
        if not valid:
            assert (row == alphabet.A).all()
    expected = [
        tuple(range(100 + i, 100 + i + shortest)) for i in range(total - shortest + 1)
    ]
    assert stretches == expected


def test_short_rows_are_one_window():
    bases = np.array([[0, 1, 2, alphabet.PAD]], "uint8")
    found, is_valid = windows.split(bases, length=10, shortest=3)
    np.testing.assert_array_equal(array(found), bases[:, None])
    assert array(is_valid).tolist() == [[True]]


def test_padding_behind_a_row_makes_windows_that_do_not_count():
    bases = np.full((2, 30), alphabet.PAD, "uint8")
    bases[0], bases[1, :12] = 1, 1
    found, is_valid = windows.split(bases, length=10, shortest=3)
    assert array(is_valid).tolist() == [[True] * 4, [True, True, False, False]]
    assert array(found)[1, 1].tolist() == [1] * 4 + [alphabet.PAD] * 6


def test_a_window_holds_at_least_what_is_read():
    with pytest.raises(ValueError, match="windows of 2 bases are shorter than 3"):
        windows.split(np.zeros((1, 5), "uint8"), length=2, shortest=3)
