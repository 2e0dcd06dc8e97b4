"""The loop with BERT: what tests/training/test_loop.py shows, for masked tokens."""

import numpy as np
import pytest

from genomenet.release import export, folder
from genomenet.training import engines, loop, pretrain, settings, workdir
from tests import harness

MODEL = harness.BERT


def train(data, path, model=None, distribute="none", **changes):
    values = {
        "steps": 8,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "schedule": "linear",
        "warmup_steps": 2,
        "weight_decay": 0.01,
        "epsilon": 1e-6,
        "clip_norm": 1.0,
        "checkpoint_every": 3,
        "eval_every": 4,
        "seed": 1,
        **changes,
    }
    return pretrain.run(
        family="bert",
        model={**MODEL, **(model or {})},
        settings=settings.Settings(**values),
        dataset=data,
        workdir=path,
        devices=engines.devices(distribute),
    )


def weights(result):
    return [np.asarray(w) for w in result.model.trainable_weights]


@pytest.fixture(scope="module")
def reference(tiny_genome, tmp_path_factory):
    path = tmp_path_factory.mktemp("reference")
    return path, train(tiny_genome, path)


def test_metrics_and_what_is_left(reference, tmp_path):
    path, result = reference
    rows = workdir.read_metrics(path)
    assert {"loss", "accuracy", "perplexity", "dropped"} <= rows[-1].keys()
    assert rows[-1]["perplexity"] == pytest.approx(np.exp(rows[-1]["loss"]))
    assert rows[-1]["val_chance_loss"] == pytest.approx(np.log(64), abs=0.2)
    assert 0 < rows[-1]["val_chance"] < 0.2
    release = export.write_release(
        result.model,
        result.config.to_json(),
        directory=tmp_path / "tiny",
        name="tiny",
        metrics=result.metrics,
    )
    loaded = folder.load_model(release)
    for a, b in zip(loaded.trainable_weights, weights(result), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_run_in_two_parts_ends_with_the_same_weights(
    dropout, reference, tiny_genome, tmp_path, monkeypatch
):
    model = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    whole = reference[1]
    if dropout:
        whole = train(tiny_genome, tmp_path / "whole", model)
    original = loop._Run._evaluate

    def interrupt(self, step):
        if step == 4:
            raise KeyboardInterrupt
        return original(self, step)

    monkeypatch.setattr(loop._Run, "_evaluate", interrupt)
    with pytest.raises(KeyboardInterrupt):  # with step 3 saved
        train(tiny_genome, tmp_path / "parts", model)
    monkeypatch.undo()
    parts = train(tiny_genome, tmp_path / "parts", model)
    for a, b in zip(weights(parts), weights(whole), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_two_devices_train_the_same_model(reference, tiny_genome, tmp_path):
    result = train(tiny_genome, tmp_path, distribute="mirrored")
    for a, b in zip(weights(result), weights(reference[1]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_micro_batches_weigh_by_their_targets(reference, tiny_genome, tmp_path):
    """Batches of 4, twice, hold the rows of one batch of 8 and make the same step."""
    one = train(tiny_genome, tmp_path / "one", steps=1, batch_size=8)
    two = train(tiny_genome, tmp_path / "two", steps=1, batch_size=4, accumulate=2)
    for a, b in zip(weights(one), weights(two), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_xla_trains_the_same_model(reference, tiny_genome, tmp_path):
    result = train(tiny_genome, tmp_path, jit_compile=True)
    for a, b in zip(weights(result), weights(reference[1]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.slow
def test_it_learns_what_overlaps_tell(tiny_genome, tmp_path):
    """A masked k-mer beside a seen one has four possible values, not 64."""
    result = train(
        tiny_genome,
        tmp_path,
        {"masking": "token", "hidden_size": 32, "mlm_probability": 0.25},
        steps=1500,
        batch_size=32,
        learning_rate=1e-2,
        checkpoint_every=1500,
        eval_every=1500,
    )
    assert result.metrics["val_accuracy_hidden"] > 0.4
    assert result.metrics["val_loss"] < 0.5 * result.metrics["val_chance_loss"]
