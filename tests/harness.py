"""Helpers for tests of models, and the checks that all of them must pass.

Every layer, model and objective must pass them on every Keras backend.
"""

import keras
import numpy as np
from keras import ops

from genomenet.dna import alphabet
from genomenet.layers import precision

SELFGENOMENET = {
    "length": 40,
    "kernel_size": 8,
    "stride": 8,
    "filters": 16,
    "units": 8,
    "gaps": [0, 1],
}
"""The smallest config that uses every part of the model; `BERT` likewise."""
BERT = {
    "kmer": 3,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 40,
    "length": 40,
    "max_predictions": 20,
    "mlm_probability": 0.1,
    "pooler": False,
}


def array(x):
    """Returns a tensor of any backend as a NumPy array; bfloat16 as float32."""
    x = keras.ops.convert_to_tensor(x)
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        x = ops.cast(x, "float32")
    return ops.convert_to_numpy(x)


def set_weights(weights, seed=0, scale=0.3):
    """Sets weights to normal draws, biases too, as zeros would hide errors."""
    rng = np.random.default_rng(seed)
    for weight in weights:
        weight.assign(scale * rng.standard_normal(weight.shape).astype("float32"))


def gradients(function, variables):
    """Returns d function() / d variable as NumPy arrays; None where there is none."""
    if keras.backend.backend() == "jax":
        import jax

        def pure(values):
            pairs = list(zip(variables, values, strict=True))
            with keras.StatelessScope(state_mapping=pairs):
                return function()

        return [np.asarray(x) for x in jax.grad(pure)([v.value for v in variables])]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = function()
    found = tape.gradient(value, [v.value for v in variables])
    return [None if x is None else np.asarray(tf.convert_to_tensor(x)) for x in found]


def check_layer(make, x, *, shape, path, tolerance=1e-6):
    """Checks one layer: shapes, gradients, mixed precision, serialisation, saving.

    Args:
        make: Returns a new layer; called several times.
        x: One input array.
        shape: Shape of the output.
        path: A writable folder.
        tolerance: Largest difference between the layer and its copies.
    """
    layer = make()
    y = layer(x)
    assert tuple(y.shape) == shape
    assert tuple(layer.compute_output_shape(x.shape)) == shape
    assert keras.backend.standardize_dtype(y.dtype) == "float32"
    set_weights(layer.trainable_weights)
    expected = array(layer(x))

    found = gradients(lambda: ops.sum(layer(x) ** 2), layer.trainable_weights)
    for weight, gradient in zip(layer.trainable_weights, found, strict=True):
        assert gradient is not None, weight.path
        assert np.abs(gradient).max() > 0, weight.path

    copy = type(layer).from_config(layer.get_config())
    copy(x)
    assert [w.shape for w in copy.weights] == [w.shape for w in layer.weights]
    copy.set_weights(layer.get_weights())
    np.testing.assert_allclose(array(copy(x)), expected, atol=tolerance)

    inputs = keras.Input((None,) * (x.ndim - 1), dtype=str(x.dtype))
    model = keras.Model(inputs, layer(inputs))
    check_saving(model, x, path, tolerance=tolerance)

    with precision.policy("mixed_bfloat16"):
        mixed = make()
        assert keras.backend.standardize_dtype(mixed(x).dtype) == "bfloat16"
        mixed.set_weights(layer.get_weights())
        assert all(w.dtype == "float32" for w in mixed.weights)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(array(mixed(x)), expected, atol=0.05 * scale)


def check_saving(model, x, path, *, tolerance=1e-6):
    """Checks that a .keras file restores a model, and HDF5 its weights.

    Args:
        model: A model whose class has `get_config` and `from_config`.
        x: One input of it.
        path: A writable folder.
        tolerance: Largest difference between the outputs.
    """
    expected = keras.tree.map_structure(array, model(x))
    file = path / "model.keras"
    model.save(file)
    loaded = keras.saving.load_model(file)
    _assert_close(loaded(x), expected, tolerance)
    weights = path / "model.weights.h5"
    model.save_weights(weights)
    set_weights(loaded.weights, seed=99)
    loaded.load_weights(weights)
    _assert_close(loaded(x), expected, tolerance)
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(array(ours), array(theirs), err_msg=ours.path)


def check_objective(family, model, batch):
    """Checks a family's loss: shapes, finite values, mixed precision, and gradients.

    Every weight must have a gradient that is not zero.

    Args:
        family: A package of `genomenet.models`.
        model: A model of that family.
        batch: "bases", uint8 codes, (B, L), without padding; and "key", uint32, (B, 2),
            if the loss draws random numbers.
    """
    result = family.loss(model, batch, training=True)
    num_rows = len(batch["bases"])
    for value in (result.per_example, result.weight):
        assert tuple(value.shape) == (num_rows,)
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        assert np.isfinite(array(value)).all()
    for name, value in result.metrics.items():
        if isinstance(value, tuple):  # a mean, and the sum of its weights
            value, weight = value
            assert tuple(weight.shape) == (), name
            assert float(weight) >= 0, name
        assert tuple(value.shape) == (), name
        assert 0 <= float(value) <= 1, name

    def total():
        return ops.mean(family.loss(model, batch, training=True).per_example)

    found = gradients(total, model.trainable_weights)
    for weight, gradient in zip(model.trainable_weights, found, strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path

    with precision.policy("mixed_bfloat16"):
        mixed = family.build(model.config)
        mixed.set_weights(model.get_weights())
        rounded = family.loss(mixed, batch, training=True).per_example
    assert keras.backend.standardize_dtype(rounded.dtype) == "float32"
    np.testing.assert_allclose(
        array(rounded), array(result.per_example), rtol=0.1, atol=0.1
    )


def check_padding(family, model, *, num_bases=None, tolerance=1e-5):
    """Checks that padding on the right changes no vector of a family.

    Args:
        family: A package of `genomenet.models`.
        model: A model of that family.
        num_bases: Bases of the padded sequence; the shortest that the family reads and
            7 more by default.
        tolerance: Largest difference between vectors with and without padding.
    """
    num_bases = num_bases or family.min_length(model.config) + 7
    bases = np.random.default_rng(0).integers(0, 4, (2, num_bases)).astype("uint8")
    bases[1, num_bases // 2] = alphabet.N
    padded = np.pad(bases, ((0, 0), (0, 9)), constant_values=alphabet.PAD)
    names = (*family.POOLS, *family.READOUTS)
    expected = family.read_out(model, {"bases": bases}, names)
    found = family.read_out(model, {"bases": padded}, names)
    num_spans = len(family.spans(model.config, num_bases))
    for name, x, y in zip(names, found, expected, strict=True):
        if name == "none":  # vectors that reach into padding are meaningless
            x = x[:, :num_spans]
            assert y.shape[1] == num_spans, name
        np.testing.assert_allclose(array(x), array(y), atol=tolerance, err_msg=name)


def _assert_close(found, expected, tolerance):
    def check(x, y):
        np.testing.assert_allclose(array(x), y, atol=tolerance)

    keras.tree.map_structure(check, found, expected)
