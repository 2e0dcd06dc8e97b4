"""Against a live `transformers`: real sizes, both directions."""

import numpy as np
import pytest

from genomenet.dna import kmer
from genomenet.models import bert
from genomenet.porting import hf_bert
from tests import harness

pytestmark = [
    pytest.mark.peers,
    # Models of transformers come without a tokenizer here.
    pytest.mark.filterwarnings("ignore:.*are assumed to be in the order:UserWarning"),
]

DNABERT = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
LOGO = {"hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 8}


def hugging_face(numbers, k):
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=kmer.vocabulary_size(k), **numbers)
    model = transformers.BertForMaskedLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 and "LayerNorm.weight" not in name:
                parameter.normal_(std=0.02)  # zeros would hide errors
    return model


def logits_of(model, ids, mask):
    import torch

    with torch.no_grad():
        output = model(
            input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask.astype(int))
        )
    return output.logits.numpy()


@pytest.mark.parametrize(
    ("numbers", "k"), [(DNABERT, 6), (DNABERT, 3), (LOGO, 6), (LOGO, 4)]
)
@pytest.mark.parametrize("kind", ["safetensors", "bin", "legacy"])
def test_same_logits_there_and_back(numbers, k, kind, tmp_path):
    if numbers is DNABERT and k == 3 and kind != "safetensors":
        pytest.skip("the formats are tried with k = 6")
    import torch
    import transformers

    theirs = hugging_face(numbers, k)
    theirs.save_pretrained(tmp_path / "hf")
    if kind != "safetensors":
        (tmp_path / "hf" / "model.safetensors").unlink()
        torch.save(
            theirs.state_dict(),
            tmp_path / "hf" / "pytorch_model.bin",
            _use_new_zipfile_serialization=kind == "bin",
        )
    ours, _ = hf_bert.read(tmp_path / "hf")
    rng = np.random.default_rng(0)
    ids = rng.integers(5, kmer.vocabulary_size(k), (2, 40))
    mask = np.ones((2, 40), bool)
    mask[1, 25:] = False
    expected = logits_of(theirs, ids, mask)
    outputs = ours({"token_ids": ids.astype("int32"), "padding_mask": mask})
    assert "pooled_output" not in outputs
    found = harness.array(outputs["logits"])
    np.testing.assert_allclose(found[mask], expected[mask], rtol=1e-4, atol=1e-4)

    hf_bert.write(ours, tmp_path / "back")
    back = transformers.BertForMaskedLM.from_pretrained(tmp_path / "back").eval()
    for name, value in theirs.state_dict().items():
        assert torch.equal(value, back.state_dict()[name]), name
    np.testing.assert_array_equal(logits_of(back, ids, mask), expected)
    tokenizer = transformers.BertTokenizer.from_pretrained(tmp_path / "back")
    words = kmer.vocabulary(k)
    assert tokenizer.convert_tokens_to_ids(words) == list(range(len(words)))


def test_a_pooler_comes_along(tmp_path):
    import torch
    import transformers

    config = transformers.BertConfig(vocab_size=69, **LOGO)
    theirs = transformers.BertForPreTraining(config).eval()
    weights = {
        name: value
        for name, value in theirs.state_dict().items()
        if "seq_relationship" not in name
    }
    config.save_pretrained(tmp_path)
    torch.save(weights, tmp_path / "pytorch_model.bin")
    ours, content = hf_bert.read(tmp_path)
    assert content["model"]["pooler"]
    ids = np.arange(5, 25)[None]
    with torch.no_grad():
        expected = theirs.bert(input_ids=torch.tensor(ids)).pooler_output.numpy()
    found = ours({"token_ids": ids, "padding_mask": np.ones_like(ids, bool)})
    np.testing.assert_allclose(
        harness.array(found["pooled_output"]), expected, rtol=1e-5, atol=1e-5
    )
    assert isinstance(ours, bert.BertMaskedLM)
