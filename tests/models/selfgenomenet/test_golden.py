"""Stored outputs, equal on TensorFlow and on JAX."""

import numpy as np

from genomenet.models import selfgenomenet
from tests import harness
from tests.golden import make


def read(kind):
    with np.load(make.FOLDER / "selfgenomenet.npz") as file:
        return {
            key.removeprefix(f"{kind}:"): file[key]
            for key in file
            if key.startswith(f"{kind}:")
        }


def test_outputs_and_loss_are_the_stored_ones():
    model = selfgenomenet.build(make.CONFIG)
    weights = read("weight")
    assert set(weights) == {weight.path for weight in model.weights}
    for weight in model.weights:
        weight.assign(weights[weight.path])
    expected = read("output")
    assert set(expected) == set(make.OUTPUTS)
    for name, value in make.outputs(model, **read("input")).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4, err_msg=name)


def test_the_file_is_what_its_script_draws():
    for name, value in make.draw_weights(selfgenomenet.build(make.CONFIG)).items():
        np.testing.assert_array_equal(value, read("weight")[name])
    for name, value in make.draw_inputs().items():
        np.testing.assert_array_equal(value, read("input")[name])
    assert set(read("version")) == {"backend", "keras", "numpy"}


def test_the_stored_loss_is_that_of_a_model_which_is_not_trivial():
    stored = read("output")
    assert np.isfinite(stored["loss"]).all()
    assert stored["loss"].std() > 0.01
    assert harness.array(stored["context"]).std() > 0.1
