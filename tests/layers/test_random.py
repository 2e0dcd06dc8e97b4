import keras
import numpy as np
import pytest
from keras import ops

from genomenet.layers import random
from tests import harness

KEYS = np.array([[0, 0], [1, 0], [0, 1], [0xDEADBEEF, 0xFFFFFFFF]], "uint32")
POSITIONS = np.array([[0, 1, 2, 511, 2**31 - 1]], "int32")


def oracle(key, positions, stream):
    """One number at a time, in Python's unbounded integers."""

    def mix(x):
        x = (x ^ x >> 16) * 0x7FEB352D % 2**32
        x = (x ^ x >> 15) * 0x846CA68B % 2**32
        return x ^ x >> 16

    def word(number):
        return (number + 1) * 0x9E3779B9

    found = []
    for low, high in key.tolist():
        start = mix(mix((low + word(2 * stream)) % 2**32) ^ high)
        step = mix(mix((high + word(2 * stream + 1)) % 2**32) ^ low) | 1
        found.append([mix((p * step + start) % 2**32) for p in positions])
    return np.array(found, "uint32")


def bits(key, positions, stream=0):
    return harness.array(random.bits(key, positions, stream=stream))


def chi_square(counts):
    expected = counts.sum() / counts.size
    return float(((counts - expected) ** 2 / expected).sum())


def assert_uniform(numbers, num_bins=256):
    """Within six standard deviations of what a fair draw gives."""
    counts = np.bincount(numbers, minlength=num_bins)
    assert counts.size == num_bins
    freedom = num_bins - 1
    assert abs(chi_square(counts) - freedom) < 6 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("stream", [0, 1, 2, 1000])
def test_bits_are_the_oracles(stream):
    found = bits(KEYS, POSITIONS, stream)
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(
        found, oracle(KEYS, POSITIONS[0].tolist(), stream), strict=True
    )


def test_known_answers():
    """Runs that exist already depend on these: a change changes every mask."""
    expected = [
        [0x944FB554, 0x55850B58, 0xF9B57BF2, 0x1A498E5C, 0x05982EBF],
        [0xD661FF16, 0x89AF6A3C, 0x7A4C7A55, 0x9899C9B7, 0x8ADC0B2B],
        [0xC67C684D, 0x2636D46A, 0x315095BD, 0x54032F24, 0x66878420],
        [0x809EF2D0, 0xC4F835F5, 0x4DE0F976, 0x39BE2518, 0xBE7884C5],
    ]
    np.testing.assert_array_equal(bits(KEYS, POSITIONS), np.uint32(expected))


def test_positions_of_every_type_and_shape():
    expected = bits(KEYS, POSITIONS)
    rows = np.broadcast_to(POSITIONS, (4, 5))
    np.testing.assert_array_equal(bits(KEYS, rows), expected)
    np.testing.assert_array_equal(bits(KEYS, POSITIONS.astype("uint32")), expected)
    wrapped = np.array([[-1]], "int32")
    np.testing.assert_array_equal(
        bits(KEYS, wrapped), bits(KEYS, np.array([[2**32 - 1]], "uint32"))
    )


def test_compiled_bits_are_the_same():
    expected = oracle(KEYS, POSITIONS[0].tolist(), 3)

    def draw(key, positions):
        return random.bits(key, positions, stream=3)

    if keras.backend.backend() == "jax":
        import jax

        compiled = [jax.jit(draw)]
    else:
        tf = pytest.importorskip("tensorflow")
        compiled = [tf.function(draw), tf.function(draw, jit_compile=True)]
    for function in compiled:
        found = function(ops.convert_to_tensor(KEYS), ops.convert_to_tensor(POSITIONS))
        np.testing.assert_array_equal(harness.array(found), expected)


def test_uniform_is_the_upper_24_bits():
    key = np.arange(64, dtype="uint32").reshape(32, 2)
    positions = np.arange(512)[None]
    found = harness.array(random.uniform(key, positions, stream=1))
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() < 1
    np.testing.assert_array_equal(found, (bits(key, positions, 1) >> 8) / 2**24)


@pytest.mark.parametrize("shift", [0, 8, 16, 24])
@pytest.mark.parametrize("counted", ["positions", "low keys", "high keys", "streams"])
def test_counting_anything_gives_uniform_bytes(counted, shift):
    numbers = np.arange(2**16, dtype="uint32")
    if counted == "positions":
        found = bits(KEYS[:1], numbers[None].astype("int32"))
    elif counted == "streams":
        positions = np.arange(2**12, dtype="int32")[None]
        found = np.stack([bits(KEYS[1:2], positions, stream) for stream in range(16)])
    else:
        key = np.zeros((2**16, 2), "uint32")
        key[:, int(counted == "high keys")] = numbers
        found = bits(key, np.array([[7]], "int32"))
    assert_uniform(found.ravel() >> np.uint32(shift) & 255)


def test_neighbours_are_independent():
    """Pairs of 4-bit numbers: of positions, rows, streams, segments."""
    rng = np.random.default_rng(0)
    key = rng.integers(0, 2**32, (256, 2), "uint32")
    key[1::2] = key[::2] + np.array([1, 0], "uint32")
    positions = np.arange(512, dtype="int32")[None]
    first = bits(key, positions) >> np.uint32(28)
    others = {
        "position": (first[:, :-1], first[:, 1:]),
        "distance 5": (first[:, :-5], first[:, 5:]),
        "row": (first[::2], first[1::2]),
        "stream": (first, bits(key, positions, 1) >> np.uint32(28)),
        "segment": (first, bits(key, positions + 2**16) >> np.uint32(28)),
        "low bits": (first, bits(key, positions) & np.uint32(15)),
    }
    for one, other in others.values():
        assert_uniform((one * np.uint32(16) + other).ravel())


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="stream must be >= 0, got -1"):
        random.bits(KEYS, POSITIONS, stream=-1)
    with pytest.raises(ValueError, match=r"key must have the shape \(B, 2\)"):
        random.bits(KEYS[:, :1], POSITIONS, stream=0)
