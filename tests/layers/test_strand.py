import keras
import numpy as np
import pytest
from keras import ops

from genomenet.dna import alphabet, encode
from genomenet.layers import strand
from tests import harness


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_complement_is_the_alphabets(dtype):
    if dtype == "int64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no 64-bit integers unless asked")
    codes = np.arange(6).astype(dtype)
    found = strand.complement(ops.convert_to_tensor(codes))
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    np.testing.assert_array_equal(harness.array(found), alphabet.COMPLEMENT)


def test_complement_takes_numpy():
    codes = np.arange(6, dtype="uint8")
    np.testing.assert_array_equal(
        harness.array(strand.complement(codes)), alphabet.COMPLEMENT
    )


def test_reverse_complement_is_that_of_numpy_and_its_own_inverse():
    codes = np.random.default_rng(0).integers(0, 5, (3, 17)).astype("uint8")
    other = strand.reverse_complement(ops.convert_to_tensor(codes))
    expected = np.stack([encode.reverse_complement(row) for row in codes])
    np.testing.assert_array_equal(harness.array(other), expected)
    np.testing.assert_array_equal(
        harness.array(strand.reverse_complement(other)), codes
    )
