"""Masked-language-model pretraining of BERT for DNA."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from genomenet.dna import kmer, ranking
from genomenet.layers import masking
from genomenet.losses import masked_lm
from genomenet.models import family
from genomenet.models.bert import backbone
from genomenet.models.bert import config as config_lib


def loss(
    model: backbone.BertMaskedLM,
    batch: Mapping[str, Any],
    *,
    training: bool,
    gather: family.Gather = family.keep_local,
) -> family.LossOutput:
    """Masks a batch of sequences and scores the model's predictions.

    Args:
        model: The model.
        batch: "bases", uint8, (B, L); "key", uint32, (B, 2), from which the masks are
            drawn; and, if rows hold several sequences, "segment", (B, L).
        training: Whether to use dropout and to limit rows to `num_targets` targets.
        gather: Not used: no row depends on another.

    Returns:
        Loss per row, weighted by its number of targets, and the metrics "accuracy" at
        target positions, "accuracy_hidden" at targets replaced by [MASK], and
        "dropped", the number of dropped spans per row.

    Source:
        Ji et al., DNABERT (2021); Roy et al., GeneMask (2023). Differences: the
        head and the output of the last block are computed at target positions only;
        padding is not attended to.
    """
    del gather
    config = model.config
    tokens = model.tokens(batch["bases"], segment=batch.get("segment"))
    num_slots = tokens["token_ids"].shape[1]
    most = num_slots
    if training:
        most = min(config.num_targets, num_slots)
    masked = mask(config, tokens, batch["key"], most if training else None)
    positions, weights = masking.gather_targets(masked.selected, most)  # (B, P)
    picked = model.backbone.encode(
        {**tokens, "token_ids": masked.inputs}, at=positions, training=training
    )  # (B, P, C)
    targets = ops.take_along_axis(tokens["token_ids"], positions, axis=1)
    logits = model.predict_tokens(picked)  # (B, P, V)
    per_row, accuracy, count = masked_lm.masked_lm(logits, targets, weights)
    total = ops.maximum(ops.sum(count), 1.0)
    # A tenth of the targets keep their token, so the model can copy them.
    shown = ops.take_along_axis(masked.inputs, positions, axis=1)
    is_hidden = weights * ops.cast(shown == kmer.MASK_ID, "float32")
    best = ops.cast(ops.argmax(logits, axis=-1), "int32")
    hidden = ops.sum(is_hidden)
    dropped = ops.cast(masked.num_dropped, "float32")
    num_right = ops.sum(is_hidden * ops.cast(best == targets, "float32"))
    return family.LossOutput(
        per_example=per_row,
        weight=count,
        metrics={
            "accuracy": ops.sum(accuracy * count) / total,
            "accuracy_hidden": (num_right / ops.maximum(hidden, 1.0), hidden),
            "dropped": (ops.mean(dropped), ops.shape(dropped)[0]),
        },
    )


def mask(
    config: config_lib.BertConfig,
    tokens: Mapping[str, Any],
    key: Any,
    max_predictions: int | None = None,
) -> masking.Masked:
    """Masks tokens with the strategy of the config.

    Args:
        config: Hyperparameters.
        tokens: Result of `layers.kmer_tokens.KmerTokens`.
        key: uint32, (B, 2).
        max_predictions: Largest number of targets in a row; no limit if None.

    Returns:
        The masked ids and the positions of the targets.
    """
    return masking.mask_tokens(
        tokens["token_ids"],
        tokens["segment_ids"],
        tokens["position_ids"],
        key,
        k=config.kmer,
        strategy=config.masking,
        rate=config.mlm_probability,
        ranks=_ranks(config.npmi, config.kmer) if config.ranks_kmers else None,
        max_predictions=max_predictions,
    )


def trivial_baseline(
    model: backbone.BertMaskedLM,
    seen: Sequence[Mapping[str, Any]],
    held_out: Sequence[Mapping[str, Any]],
) -> dict[str, float]:
    """Computes the chance-level loss and accuracy from k-mer frequencies.

    Args:
        model: The model, used for its config only.
        seen: Batches in which k-mers are counted, with a pseudocount of 1.
        held_out: Batches that are masked as in `loss` and predicted.

    Returns:
        "loss", in nats, of predicting the frequencies, and "accuracy" of always
        predicting the most frequent k-mer; empty if there are no targets.
    """
    counts = np.ones(model.config.vocab_size)
    for batch in seen:
        ids = _array(model.tokens(batch["bases"], segment=batch.get("segment")))
        counts += np.bincount(ids.ravel(), minlength=len(counts))
    counts[: kmer.NUM_SPECIAL] = 0
    frequencies = counts / counts.sum()
    losses, hits, best = [], [], int(frequencies.argmax())
    for batch in held_out:
        tokens = model.tokens(batch["bases"], segment=batch.get("segment"))
        masked = mask(model.config, tokens, batch["key"])
        targets = _array(tokens)[np.asarray(ops.convert_to_numpy(masked.selected))]
        losses.append(-np.log(frequencies[targets]))
        hits.append(targets == best)
    all_losses = np.concatenate(losses) if losses else np.zeros(0)
    if not len(all_losses):
        return {}
    accuracy = float(np.concatenate(hits).mean())
    return {"loss": float(all_losses.mean()), "accuracy": accuracy}


def _array(tokens: Mapping[str, Any]) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tokens["token_ids"]))


@functools.lru_cache(maxsize=4)
def _ranks(npmi: str, k: int) -> np.ndarray:
    return ranking.read(npmi, k)
