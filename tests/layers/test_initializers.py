"""Initial weights: their distribution, and that the seed alone tells them."""

import keras
import numpy as np
import pytest

from genomenet.layers import initializers


def draw(cls, shape, seed=3, **options):
    keras.utils.set_random_seed(seed)
    return keras.ops.convert_to_numpy(cls(**options)(shape))


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (initializers.Normal, {"stddev": 0.02}),
        (initializers.GlorotUniform, {}),
        (initializers.Orthogonal, {}),
    ],
)
def test_the_seed_tells_the_weights(cls, options):
    a = draw(cls, (12, 30), **options)
    assert a.dtype == np.float32
    np.testing.assert_array_equal(a, draw(cls, (12, 30), **options))
    assert not np.array_equal(a, draw(cls, (12, 30), seed=4, **options))
    first, second = cls(**options), cls(**options)
    assert not np.array_equal(first((3, 4)), second((3, 4)))
    again = keras.initializers.deserialize(keras.initializers.serialize(first))
    assert type(again) is cls
    assert again.get_config() == first.get_config()


def test_the_values_are_the_same_on_every_backend():
    """NumPy's generator, whose streams are fixed, from the seed that Keras draws."""
    found = keras.ops.convert_to_numpy(initializers.Normal(stddev=0.5, seed=7)((2, 2)))
    expected = np.random.default_rng(7).normal(0.0, 0.5, (2, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_distributions_are_those_of_keras():
    normal = draw(initializers.Normal, (300, 300), stddev=0.02)
    assert normal.std() == pytest.approx(0.02, rel=0.02)
    assert abs(normal.mean()) < 5e-4
    for shape in ((200, 100), (24, 4, 64)):
        ours = draw(initializers.GlorotUniform, shape)
        theirs = draw(keras.initializers.GlorotUniform, shape)
        assert abs(ours).max() == pytest.approx(abs(theirs).max(), rel=0.01)
        assert ours.std() == pytest.approx(theirs.std(), rel=0.05)
    for shape in ((10, 40), (40, 10)):
        matrix = draw(initializers.Orthogonal, shape)
        product = matrix @ matrix.T if shape[0] < shape[1] else matrix.T @ matrix
        np.testing.assert_allclose(product, np.eye(10), atol=1e-6)
