import keras
import numpy as np
import pytest

from genomenet.dna import alphabet
from genomenet.layers import precision
from genomenet.models import selfgenomenet
from genomenet.models.selfgenomenet import backbone
from tests import harness

CONFIG = selfgenomenet.Config(
    length=30, kernel_size=6, stride=3, filters=11, units=7, gaps=(1, 2)
)


def build(**kwargs):
    model = selfgenomenet.build(CONFIG, **kwargs)
    harness.set_weights(model.weights)
    return model


def rows_of(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 5, length).astype("uint8") for length in lengths]


def pad(rows, length):
    batch = np.full((len(rows), length), alphabet.PAD, "uint8")
    for row, bases in zip(batch, rows, strict=True):
        row[: len(bases)] = bases
    return batch


def test_inputs_and_outputs_have_names():
    bases = np.zeros((2, 30), "uint8")
    outputs = build()({"bases": bases})
    assert set(outputs) == {"context"}
    assert tuple(outputs["context"].shape) == (2, 9, 7)


@pytest.mark.parametrize("fold", [True, False])
def test_saving(fold, tmp_path):
    model = build(fold=fold)
    harness.check_saving(model, {"bases": pad(rows_of([30, 30]), 30)}, tmp_path)


def test_padding_changes_no_vector():
    harness.check_padding(selfgenomenet, build())


def test_a_saved_model_keeps_config_name_and_projections(tmp_path):
    model = build(fold=False, name="other")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, selfgenomenet.SelfGenomeNet)
    assert loaded.config == CONFIG
    assert (loaded.name, loaded.context_net.fold) == ("other", False)
    for ours, theirs in zip(model.projections, loaded.projections, strict=True):
        np.testing.assert_array_equal(ours.get_weights()[0], theirs.get_weights()[0])


def test_folding_changes_no_output_and_no_weight():
    batch = {"bases": pad(rows_of([30, 30, 30]), 30)}
    folded, unfolded = build(), build(fold=False)
    unfolded.set_weights(folded.get_weights())
    np.testing.assert_allclose(
        harness.array(folded(batch)["context"]),
        harness.array(unfolded(batch)["context"]),
        atol=1e-5,
    )


def test_pools_on_mixed_lengths_equal_each_row_alone():
    rows = rows_of([6, 8, 9, 30, 31, 47, 120])
    model = build()
    alone = [harness.array(model({"bases": row[None]})["context"])[0] for row in rows]
    expected = {
        "last": [states[-1] for states in alone],
        "mean": [states.mean(axis=0) for states in alone],
        "max": [states.max(axis=0) for states in alone],
    }
    assert set(selfgenomenet.POOLS) == {*expected, "none"}
    for length in (120, 131):
        batch = {"bases": pad(rows, length)}
        for pool, vectors in expected.items():
            np.testing.assert_allclose(
                harness.array(selfgenomenet.embed(model, batch, pool)),
                np.stack(vectors),
                atol=1e-5,
                err_msg=pool,
            )
        states = harness.array(selfgenomenet.embed(model, batch, "none"))
        for row, own in zip(states, alone, strict=True):
            np.testing.assert_allclose(row[: len(own)], own, atol=1e-5)


def test_last_is_the_default_pool_and_others_are_refused():
    model, batch = build(), {"bases": pad(rows_of([20, 30]), 30)}
    np.testing.assert_array_equal(
        harness.array(selfgenomenet.embed(model, batch)),
        harness.array(selfgenomenet.embed(model, batch, selfgenomenet.POOLS[0])),
    )
    with pytest.raises(ValueError, match="no pool 'cls'; it has last, mean, max, none"):
        selfgenomenet.embed(model, batch, "cls")


def test_pools_in_half_precision_are_means_of_the_states_they_pool():
    with precision.policy("mixed_bfloat16"):
        model = build()
    batch = {"bases": pad(rows_of([900, 600]), 900)}
    states = harness.array(model(batch)["context"])
    patches = harness.array(backbone.count_patches(batch["bases"], CONFIG))
    np.testing.assert_array_equal(patches, [299, 199])
    mean = harness.array(selfgenomenet.embed(model, batch, "mean"))
    last = harness.array(selfgenomenet.embed(model, batch, "last"))
    for row, number in enumerate(patches):
        expected = states[row, :number].mean(axis=0)
        np.testing.assert_allclose(mean[row], expected, rtol=0.01, atol=2e-3)
        np.testing.assert_array_equal(last[row], states[row, number - 1])


def test_n_counts_as_a_base_and_padding_does_not():
    bases = np.array([[4] * 9, [0] * 6 + [5] * 3, [5] * 9], "uint8")
    found = harness.array(backbone.count_patches(bases, CONFIG))
    np.testing.assert_array_equal(found[:2], [2, 1])
    assert found[2] < 1


def test_spans_are_the_bases_a_patch_reads():
    assert selfgenomenet.spans(CONFIG, 13) == [(0, 6), (3, 9), (6, 12)]
    assert selfgenomenet.spans(CONFIG, 5) == []
    model, bases = build(), pad(rows_of([30]), 30)
    before = harness.array(model({"bases": bases})["context"])
    for patch, (_, end) in enumerate(selfgenomenet.spans(CONFIG, 30)):
        changed = bases.copy()
        changed[0, end - 1] = (changed[0, end - 1] + 1) % 4
        after = harness.array(model({"bases": changed})["context"])
        differs = np.abs(after - before).max(axis=(0, 2)) > 0
        assert differs[patch]
        assert not differs[:patch].any()


def test_too_short_a_batch_is_refused():
    with pytest.raises(ValueError, match="5 bases are fewer than one patch of 6"):
        build()({"bases": np.zeros((1, 5), "uint8")})
