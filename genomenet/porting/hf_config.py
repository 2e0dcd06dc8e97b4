"""Converts `config.json` of BERT between Hugging Face and this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from genomenet.dna import kmer
from genomenet.models import bert, config_fields

# Keys of Hugging Face's config.json that are read; k follows from `vocab_size`.
_NUMERIC: Final = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "initializer_range",
)
# Keys that must have the value of plain BERT: other values change the outputs.
_FIXED: Final[dict[str, tuple[Any, ...]]] = {
    "model_type": ("bert",),
    "hidden_act": ("gelu",),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "cross_attention_hidden_size": (None,),
    "tie_encoder_decoder": (False,),
    "is_encoder_decoder": (False,),
    "tie_word_embeddings": (True,),
    "chunk_size_feed_forward": (0,),
    "pruned_heads": ({}, None),
    "pad_token_id": (0,),
    "split": (None, 0, 10),  # DNABERT: for its long-sequence models
    "num_rnn_layer": (None, 0, 1),
    "rnn": (None, "lstm"),
    "rnn_dropout": (None, 0.0),
    "rnn_hidden": (None, 768),
}
# Keys that do not affect the outputs of an encoder.
_HARMLESS: Final = frozenset(
    {
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_commit_hash",
        "_name_or_path",
        "_num_labels",
        "architectures",
        "attn_implementation",
        "bad_words_ids",
        "begin_suppress_tokens",
        "bos_token_id",
        "classifier_dropout",
        "decoder_start_token_id",
        "diversity_penalty",
        "do_sample",
        "dtype",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "eos_token_id",
        "eos_token_ids",
        "exponential_decay_length_penalty",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "gradient_checkpointing",
        "id2label",
        "label2id",
        "length_penalty",
        "max_length",
        "min_length",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_labels",
        "num_return_sequences",
        "output_attentions",
        "output_hidden_states",
        "output_past",
        "output_scores",
        "prefix",
        "problem_type",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict",
        "return_dict_in_generate",
        "sep_token_id",
        "suppress_tokens",
        "task_specific_params",
        "temperature",
        "tf_legacy_loss",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "transformers_weights",
        "typical_p",
        "use_bfloat16",
        "use_cache",
    }
)


def read(values: Mapping[str, Any], **fields: Any) -> bert.Config:
    """Reads Hugging Face's `config.json`.

    Args:
        values: Its content.
        **fields: Fields that it does not have, such as `masking`.

    Returns:
        The config; k follows from `vocab_size`.

    Raises:
        ValueError: If a key is missing or unknown, or its value would change the
            outputs.
    """
    for key, value in values.items():
        if key in _FIXED:
            if value not in _FIXED[key]:
                raise ValueError(
                    f"config.json: {key}={value!r} is not supported, it must be"
                    f" {_FIXED[key][0]!r}"
                )
        elif key not in {*_NUMERIC, *_HARMLESS, "vocab_size", "kmer"}:
            raise ValueError(f"config.json: unknown key {key!r} ({value!r})")
    missing = [key for key in ("vocab_size", *_NUMERIC[:4]) if key not in values]
    if missing:
        raise ValueError(f"config.json has no {', '.join(missing)}")
    for key in ("vocab_size", "max_position_embeddings"):
        if type(values.get(key, 512)) is not int:
            raise ValueError(
                f"config.json: {key} must be an integer, got {values[key]!r}"
            )
    sizes = {kmer.vocabulary_size(k): k for k in range(3, 9)}
    if values["vocab_size"] not in sizes:
        raise ValueError(
            f"config.json: vocab_size={values['vocab_size']} must be one of"
            f" {', '.join(map(str, sizes))} (4^k + 5)"
        )
    numeric = {key: values[key] for key in _NUMERIC if key in values}
    config_fields.check_types(bert.Config, numeric)
    k = sizes[values["vocab_size"]]
    if values.get("kmer", k) != k:
        raise ValueError(
            f"config.json: kmer={values['kmer']!r} contradicts"
            f" vocab_size={values['vocab_size']}, which is that of k = {k}"
        )
    positions = values.get("max_position_embeddings", 512)
    return bert.Config(**numeric, kmer=k, **{"length": positions, **fields})


def write(config: bert.Config) -> dict[str, Any]:
    """Returns the content of Hugging Face's `config.json`."""
    return {
        "architectures": ["BertForMaskedLM"],
        "model_type": "bert",
        "vocab_size": config.vocab_size,
        **{key: getattr(config, key) for key in _NUMERIC},
        "hidden_act": "gelu",
        "pad_token_id": kmer.PAD_ID,
        "tie_word_embeddings": True,
    }
