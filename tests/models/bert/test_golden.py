"""Equal to `transformers`, whose outputs lie in tests/golden."""

import pathlib

import numpy as np
import pytest
from keras import ops

from genomenet.losses import masked_lm
from genomenet.models import bert
from genomenet.porting import hf_bert
from tests import harness

FILE = pathlib.Path(__file__).parents[2] / "golden" / "bert.npz"
CASES = {"k3": (3, 2, 2), "k4": (4, 3, 4)}
LENGTHS = (1, 7, 512)


@pytest.fixture(scope="module", params=CASES)
def case(request):
    k, layers, heads = CASES[request.param]
    config = bert.Config(
        kmer=k,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with np.load(FILE) as file:
        stored = {
            name.removeprefix(f"{request.param}/"): file[name]
            for name in file.files
            if name.startswith(f"{request.param}/")
        }
    model = bert.build(config)
    weights = {
        name.removeprefix("weights/"): value
        for name, value in stored.items()
        if name.startswith("weights/")
    }
    hf_bert.assign(model, weights, source="bert.npz")
    return model, stored


def close(found, expected, message=""):
    # What a key's bias adds is the same for all keys: its gradient is rounding only.
    scale = max(np.abs(expected).max(), 1e-2)
    np.testing.assert_allclose(
        harness.array(found), expected, rtol=1e-5, atol=1e-5 * scale, err_msg=message
    )


@pytest.mark.parametrize("length", LENGTHS)
def test_states_pooled_output_and_logits(case, length):
    model, stored = case
    ids, mask = stored[f"{length}/ids"].astype("int32"), stored[f"{length}/mask"]
    kept = slice(None, None, max(length // 8, 1))
    outputs = model({"token_ids": ids, "padding_mask": mask})
    is_real = mask[:, kept]
    close(outputs["pooled_output"], stored[f"{length}/pooled"])
    logits = harness.array(outputs["logits"])[:, kept]
    close(logits[is_real], stored[f"{length}/logits"][is_real])
    # Encoded as in pretraining: padding is a segment of its own.
    tokens = {
        "token_ids": ids,
        "segment_ids": mask.astype("int32"),
        "position_ids": np.broadcast_to(np.arange(length, dtype="int32"), ids.shape),
    }
    states, attention = model.backbone.encode(tokens, return_all=True)
    hidden = stored[f"{length}/hidden"]
    assert len(states) == len(hidden) == len(attention) + 1
    for number, state in enumerate(states):
        found = harness.array(state)[:, kept]
        close(found[is_real], hidden[number][is_real], f"layer {number}")
    for scores in attention:
        rows = harness.array(ops.sum(scores, axis=-1))
        np.testing.assert_allclose(rows, 1, atol=1e-5)
    last = harness.array(model.backbone.encode(tokens))
    close(last[mask], harness.array(states[-1])[mask])


def test_loss_and_gradients(case):
    model, stored = case
    length = LENGTHS[1]
    ids, mask = stored[f"{length}/ids"].astype("int32"), stored[f"{length}/mask"]
    labels = stored[f"{length}/labels"].astype("int32")
    is_target = labels >= 0

    def loss():
        outputs = model({"token_ids": ids, "padding_mask": mask})
        per_row, _, count = masked_lm.masked_lm(
            outputs["logits"], np.where(is_target, labels, 0), is_target
        )
        return ops.sum(per_row * count) / ops.sum(count)

    close(loss(), stored[f"{length}/loss"])
    pairs = [p for p in hf_bert.pairs(model.config) if "pooler" not in p.theirs]
    variables = [hf_bert.variable_of(model, pair.ours) for pair in pairs]
    for pair, found in zip(pairs, harness.gradients(loss, variables), strict=True):
        expected = stored[f"{length}/gradient/{pair.theirs}"]
        if expected.ndim == 2:
            expected = expected.T if pair.is_transposed else expected
        close(found, expected, pair.theirs)
