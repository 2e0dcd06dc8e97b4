"""BERT for DNA (DNABERT, LOGO); implements `genomenet.models.family.Family`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from keras import ops

from genomenet.dna import kmer, tiling
from genomenet.layers import readout
from genomenet.models.bert.backbone import BertBackbone, BertMaskedLM
from genomenet.models.bert.config import BertConfig as Config
from genomenet.models.bert.config import from_dict, to_dict
from genomenet.models.bert.objective import loss, trivial_baseline

__all__ = [
    "BASES_AT_ONCE",
    "CLASSIFIER_POOL",
    "CLASSIFIER_RATE",
    "POOLS",
    "READOUTS",
    "BertBackbone",
    "BertMaskedLM",
    "Config",
    "attend",
    "attribution_baseline",
    "build",
    "derived_metrics",
    "embed",
    "from_dict",
    "loss",
    "min_batch_size",
    "min_length",
    "mutant_reader",
    "num_parameters",
    "on_spans",
    "predict_masked",
    "read_out",
    "reader",
    "spans",
    "to_dict",
    "trivial_baseline",
    "width",
    "window",
    "with_dropout",
]

BASES_AT_ONCE: Final = 2048  # states of more bases do not fit into a core's cache
POOLS: Final = ("mean", "cls", "max", "none")  # the first is the default of `embed`
READOUTS: Final = (  # in addition to the pools
    "bins",
    "middle_mean",
    "middle_bins",
    "embeddings_mean",
    "embeddings_bins",
)
CLASSIFIER_POOL: Final = "mean"
CLASSIFIER_RATE: Final = 3e-4  # peak rate of fine-tuning with batches of 32
mutant_reader: Final = None  # every state depends on all bases


def build(config: Config, **kwargs: Any) -> BertMaskedLM:
    """Builds a masked language model with random weights.

    Args:
        config: Hyperparameters.
        **kwargs: Arguments of `BertMaskedLM`.

    Returns:
        The model, with all weights built.
    """
    return BertMaskedLM(config, **kwargs)


def window(config: Config) -> tiling.Window:
    """Returns how training rows are taken: as in GeneMask, never across an N."""
    return tiling.Window(
        length=config.length,
        stride=config.length - 1,
        max_n=0.0,
        shortest_cut=config.kmer,
        both_strands=config.both_strands,
    )


def with_dropout(config: Config, rate: float) -> Config:
    """Returns the config with another dropout rate of channels and attention.

    Args:
        config: Hyperparameters.
        rate: The dropout rate, in [0, 1).

    Returns:
        A config that is otherwise the same.
    """
    return dataclasses.replace(
        config, hidden_dropout_prob=rate, attention_probs_dropout_prob=rate
    )


def embed(
    model: BertMaskedLM,
    batch: Mapping[str, Any],
    pool: str = "mean",
    *,
    training: bool = False,
) -> Any:
    """Embeds sequences; padding never changes a result.

    Args:
        model: The model.
        batch: "bases", codes, (B, L), padded on the right; at least k long.
        pool: "mean" and "max" pool over the k-mers without [CLS] and [SEP], "cls"
            takes the state of [CLS], "none" returns a state for every k-mer.
        training: Whether to drop channels.

    Returns:
        Float, (B, C); for "none" (B, L - k + 1, C), where states of k-mers that
        reach into padding are meaningless.

    Raises:
        ValueError: If the pool is unknown, or a sequence is longer than the model reads
            at once; `genomenet.embed` reads such sequences in windows.
    """
    pools = (*POOLS, *READOUTS)
    if pool not in pools:
        raise ValueError(f"BERT has no pool {pool!r}; it has {', '.join(pools)}")
    length, longest = batch["bases"].shape[1], model.config.max_length
    if length is not None and length > longest:
        raise ValueError(
            f"{length} bases are more than the model reads at once, {longest}: use"
            " genomenet.embed, which reads them in windows"
        )
    return read_out(model, batch, (pool,), training=training)[0]


def read_out(
    model: BertMaskedLM,
    batch: Mapping[str, Any],
    names: Sequence[str],
    *,
    training: bool = False,
) -> list[Any]:
    """Returns several vectors of each sequence; the encoder runs once.

    Args:
        model: The model.
        batch: As for `embed`.
        names: Names in `POOLS` and `READOUTS`: "bins" are means over 8 parts of the
            sequence; "middle_mean" and "middle_bins" read the states after half of
            the blocks, "embeddings_mean" and "embeddings_bins" the token embeddings
            before the first block.
        training: Whether to drop channels.

    Returns:
        For each name float, (B, C) or (B, 8·C); for "none" (B, L - k + 1, C).
    """
    tokens = model.tokens(batch["bases"])
    ids = tokens["token_ids"]
    is_kmer = ops.logical_or(ids >= kmer.NUM_SPECIAL, ids == kmer.UNK_ID)[:, 1:-1]
    backbone, layers = model.backbone, {name.rpartition("_")[0] for name in names}
    half = (len(backbone.blocks) + 1) // 2
    x = backbone.embedding(ids, tokens["position_ids"], training=training)
    states = {"embeddings": x}  # by layer, (B, T, C)
    if layers != {"embeddings"}:
        first = backbone.blocks[:half]
        x = backbone.encode(tokens, embedded=x, blocks=first, training=training)
        states["middle"] = x
    if "" in layers:
        rest = backbone.blocks[half:]
        x = backbone.encode(tokens, embedded=x, blocks=rest, training=training)
        states[""] = x

    def pool(name: str) -> Any:
        layer, _, name = name.rpartition("_")
        x = states[layer]
        if name == "cls":
            return x[:, 0]
        x = x[:, 1:-1]
        if name == "none":
            return x
        if name == "max":
            real = ops.where(is_kmer[..., None], ops.cast(x, "float32"), -1e9)
            return ops.cast(ops.max(real, axis=1), x.dtype)
        return {"mean": readout.mean, "bins": readout.bins}[name](x, is_kmer)

    return [pool(name) for name in names]


def attend(model: BertMaskedLM, batch: Mapping[str, Any]) -> Any:
    """Returns how much [CLS] attends to each k-mer in the last block.

    Args:
        model: The model.
        batch: "bases", as for `embed`.

    Returns:
        Float, (B, L - k + 1): attention summed over the heads, 0 for k-mers that
        reach into padding.

    Source:
        Ji et al., DNABERT (2021). Differences: none.
    """
    tokens = model.tokens(batch["bases"])
    _, attention = model.backbone.encode(tokens, return_all=True)
    ids = tokens["token_ids"]
    is_kmer = ops.logical_or(ids >= kmer.NUM_SPECIAL, ids == kmer.UNK_ID)
    total = ops.sum(attention[-1][:, :, 0], axis=1)  # (B, T)
    return ops.where(is_kmer, total, 0.0)[:, 1:-1]


def predict_masked(
    model: BertMaskedLM, batch: Mapping[str, Any], is_masked: Any, at: Any
) -> Any:
    """Predicts k-mers whose tokens are masked.

    Args:
        model: The model, with its head.
        batch: "bases", as for `embed`.
        is_masked: bool, (B, L - k + 1): True for k-mers replaced by [MASK].
        at: int, (B, P): positions of the first bases of the k-mers to predict.

    Returns:
        Log-probabilities of all tokens in nats, float32, (B, P, V).
    """
    tokens = model.tokens(batch["bases"])
    slots = ops.pad(is_masked, ((0, 0), (1, 1)))  # [CLS] precedes the k-mers
    ids = ops.where(slots, kmer.MASK_ID, tokens["token_ids"])
    states = model.backbone.encode({**tokens, "token_ids": ids}, at=at + 1)
    return ops.log_softmax(ops.cast(model.predict_tokens(states), "float32"))


def derived_metrics(means: Mapping[str, float]) -> dict[str, float]:
    """Returns the perplexity, the exponential of the mean loss."""
    return {"perplexity": math.exp(min(means["loss"], 700.0))}


def reader(model: BertMaskedLM) -> Any:
    """Returns the layer that embeds tokens; see its `edit`."""
    return model.backbone.embedding


def attribution_baseline(model: BertMaskedLM, x: Any, codes: Any) -> tuple[Any, Any]:
    """Returns the mean embedding of all k-mers, and which tokens are k-mers.

    Args:
        model: The model.
        x: Token embeddings, float, (B, T, C).
        codes: Token ids, (B, T).

    Returns:
        Float, (B, T, C), and bool, (B, T).
    """
    table = ops.cast(model.backbone.embedding.tokens, x.dtype)
    mean = ops.mean(table[kmer.NUM_SPECIAL :], axis=0)
    return ops.broadcast_to(mean, ops.shape(x)), codes >= kmer.NUM_SPECIAL


def on_spans(scores: Any) -> Any:
    """Returns scores of tokens without those of [CLS] and [SEP]: (B, P, 1)."""
    return scores[:, 1:-1, None]


def spans(config: Config, length: int) -> Sequence[tuple[int, int]]:
    """Returns the interval of bases of each k-mer.

    Args:
        config: Hyperparameters.
        length: Bases of the sequence.

    Returns:
        0-based half-open intervals, one per k-mer.
    """
    count = length - config.kmer + 1
    return [(start, start + config.kmer) for start in range(count)]


def num_parameters(config: Config, *, head: bool = True) -> int:
    """Returns the number of parameters, with the masked-LM head if `head`."""
    return config.num_parameters(head=head)


def width(config: Config) -> int:
    """Returns the number of channels of an embedding, C."""
    return config.hidden_size


def min_batch_size(config: Config, num_replicas: int = 1) -> int:
    """Returns the smallest batch size; no row depends on another.

    Args:
        config: Hyperparameters.
        num_replicas: Number of devices that share a batch.

    Returns:
        One row per device.

    Raises:
        ValueError: If no token is ever a target.
    """
    if not config.mlm_probability:
        raise ValueError("mlm_probability must be above 0 for pretraining, got 0")
    return num_replicas


def min_length(config: Config) -> int:
    """Returns the length, in bases, of the shortest sequence it can embed: a k-mer."""
    return config.kmer
