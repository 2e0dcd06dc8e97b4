"""Hugging Face's config.json against our config."""

import pytest

from genomenet.models import bert
from genomenet.porting import hf_config

# As the checkpoints of DNABERT carry it.
DNABERT = {
    "architectures": ["BertForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "bos_token_id": 0,
    "do_sample": False,
    "eos_token_ids": 0,
    "finetuning_task": None,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "is_decoder": False,
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "layer_norm_eps": 1e-12,
    "length_penalty": 1.0,
    "max_length": 20,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_beams": 1,
    "num_hidden_layers": 12,
    "num_labels": 2,
    "num_return_sequences": 1,
    "num_rnn_layer": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_past": True,
    "pad_token_id": 0,
    "pruned_heads": {},
    "repetition_penalty": 1.0,
    "rnn": "lstm",
    "rnn_dropout": 0.0,
    "rnn_hidden": 768,
    "split": 10,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "torchscript": False,
    "type_vocab_size": 2,
    "use_bfloat16": False,
    "vocab_size": 4101,
}


@pytest.mark.parametrize(("k", "size"), [(3, 69), (4, 261), (5, 1029), (6, 4101)])
def test_dnabert_is_read(k, size):
    found = hf_config.read({**DNABERT, "vocab_size": size})
    assert found == bert.Config(kmer=k)
    assert found.vocab_size == size
    assert hf_config.read(hf_config.write(found)) == found


def test_what_is_left_out_has_the_defaults_of_hugging_face():
    keys = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    values = {key: DNABERT[key] for key in (*keys, "intermediate_size")}
    assert hf_config.read(values) == bert.Config()
    del values["hidden_size"]
    with pytest.raises(ValueError, match=r"config.json has no hidden_size"):
        hf_config.read(values)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_act", "relu"),
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("cross_attention_hidden_size", 8),
        ("pruned_heads", {"0": [1]}),
        ("model_type", "roberta"),
        ("split", 512),
        ("num_rnn_layer", 2),
        ("embedding_size", 128),
    ],
)
def test_what_would_change_the_numbers_is_refused(key, value):
    with pytest.raises(ValueError, match=key):
        hf_config.read({**DNABERT, key: value})
