"""Pretraining of Self-GenomeNet: the method and its published ablations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from keras import ops

from genomenet.layers import strand
from genomenet.losses import reverse_complement
from genomenet.models import family
from genomenet.models.selfgenomenet import backbone

_SWAP: Final = (1, 0, 2)
_SHUT: Final = -1e4  # gate input for which the sigmoid is 0 in every precision


def loss(
    model: backbone.SelfGenomeNet,
    batch: Mapping[str, Any],
    *,
    training: bool,
    gather: family.Gather = family.keep_local,
) -> family.LossOutput:
    """Scores one batch of windows by the configured objective.

    Args:
        model: Self-GenomeNet.
        batch: "bases", uint8, (B, L), without padding.
        training: Not used: the model has no dropout.
        gather: Concatenates targets over replicas.

    Returns:
        Loss per window and the metrics "accuracy" and "chance".

    Source:
        Gündüz et al., Self-GenomeNet (2023). Ablations:
        "reverse_complement_fixed" is the same loss at the middle position only;
        "reverse" reads the second view backwards without complementing it;
        "forward" predicts the state of the remaining suffix read forward, among B
        rows, in one direction; "…_fixed" at the middle only; "cpc" predicts the
        encoder's output i+1 patches ahead among all B·P latents.
    """
    del training
    config = model.config
    if config.negatives == "local":
        gather = family.keep_local
    score = {"strand": _two_strands, "suffix": _forward, "latent": _ahead}
    return score[config.method.predicts](model, batch["bases"], gather)


def trivial_baseline(
    model: backbone.SelfGenomeNet,
    seen: Sequence[Mapping[str, Any]],
    held_out: Sequence[Mapping[str, Any]],
) -> dict[str, float]:
    """Computes the chance-level loss and accuracy: guessing among the candidates.

    Args:
        model: The model, used for its config only.
        seen: Not used: guessing needs no data.
        held_out: Batches, of which only the size is used.

    Returns:
        "loss" in nats and "accuracy"; empty if there are no batches.
    """
    del seen
    if not held_out:
        return {}
    config, batch_size = model.config, len(held_out[0]["bases"])
    candidates = {
        "strand": 2 * batch_size - 1,
        "suffix": batch_size,
        "latent": batch_size * config.num_patches,
    }[config.method.predicts]
    return {"loss": math.log(candidates), "accuracy": 1 / candidates}


def _two_strands(
    model: backbone.SelfGenomeNet, bases: Any, gather: family.Gather
) -> family.LossOutput:
    config = model.config
    is_complemented = config.method.is_complemented
    other = strand.reverse_complement(bases) if is_complemented else ops.flip(bases, -1)
    views = ops.concatenate([bases, other])  # (2B, L)
    context = model({"bases": views})["context"]  # (2B, P, H)
    targets, row_offset = gather(context)  # (R·2B, P, H)
    if config.method.is_fixed:
        per_row, accuracy = _at_the_middle(model, context, targets, row_offset)
    else:
        # The loss needs the position axis first; projecting in that order saves a copy.
        by_patch = ops.transpose(context, _SWAP)  # (P, 2B, H)
        predictions = []
        for gap, projection in zip(config.gaps, model.projections, strict=True):
            # The gradient of a slice costs less than that of an index.
            num_positions = config.num_patches - gap - 1
            size = (num_positions, ops.shape(by_patch)[1], config.units)
            used = ops.slice(by_patch, (0, 0, 0), size)
            predictions.append(ops.transpose(projection(used), _SWAP))
        if config.temperature:
            # Dividing one side divides the product.
            predictions = [ops.normalize(p) / config.temperature for p in predictions]
            targets = ops.normalize(targets)
        per_row, accuracy = reverse_complement.reverse_complement_contrastive(
            predictions, context, config.gaps, targets=targets, row_offset=row_offset
        )
    num_candidates = ops.shape(targets)[0] - 1
    half = ops.shape(bases)[0]
    per_example = (per_row[:half] + per_row[half:]) / 2
    return _output(per_example, accuracy, num_candidates)


def _at_the_middle(
    model: backbone.SelfGenomeNet, context: Any, targets: Any, row_offset: Any
) -> tuple[Any, Any]:
    """Scores only the position j in the middle of 1 .. P-i-1."""
    num_rows = ops.shape(context)[0]
    rows = ops.arange(num_rows, dtype="int32")
    labels = row_offset + (rows + num_rows // 2) % num_rows
    scores = []
    for gap, projection in zip(model.config.gaps, model.projections, strict=True):
        last = model.config.num_patches - gap - 1  # of the positions j
        middle = (last + 1) // 2
        rest = last + 1 - middle  # patches of the other strand up to the gap
        scores.append(
            reverse_complement.contrast(
                projection(context[:, middle - 1 : middle]),
                targets[:, rest - 1 : rest],
                labels=labels,
                excluded=row_offset + rows,
            )
        )
    return _mean(scores)


def _forward(
    model: backbone.SelfGenomeNet, bases: Any, gather: family.Gather
) -> family.LossOutput:
    """Predicts the state of the suffix, read forward from the zero state."""
    config, net = model.config, model.context_net
    inputs = net.gate_inputs(bases)  # (B, P, 4H)
    context = net.run(inputs)
    scores = []
    for gap, projection in zip(config.gaps, model.projections, strict=True):
        positions = np.arange(1, config.num_patches - gap)  # j, 1-based
        if config.method.is_fixed:
            positions = positions[(len(positions) - 1) // 2 :][:1]
        # Each suffix needs its own run: closed gates keep the zero state before it. The
        # cost of this ablation grows with P².
        is_suffix = np.arange(config.num_patches)[None] >= positions[:, None] + gap
        suffixes = ops.where(is_suffix[None, :, :, None], inputs[:, None], _SHUT)
        shape = (-1, config.num_patches, inputs.shape[-1])
        states = net.run(ops.reshape(suffixes, shape))[:, -1]  # (B·J, H)
        states = ops.reshape(states, (-1, len(positions), config.units))
        targets, offset = gather(states)
        labels = offset + ops.arange(ops.shape(bases)[0], dtype="int32")
        predictions = projection(ops.take(context, positions - 1, axis=1))
        scores.append(reverse_complement.contrast(predictions, targets, labels=labels))
    per_example, accuracy = _mean(scores)
    return _output(per_example, accuracy, ops.shape(targets)[0])


def _ahead(
    model: backbone.SelfGenomeNet, bases: Any, gather: family.Gather
) -> family.LossOutput:
    """Contrastive predictive coding: the encoder's output gap+1 patches ahead."""
    config, net = model.config, model.context_net
    latents = net.encoder(bases)  # (B, P, C)
    context = net.run(net.gate_inputs(bases))
    gathered, offset = gather(latents)  # (R·B, P, C)
    candidates = ops.reshape(gathered, (-1, 1, config.filters))  # (R·B·P, 1, C)
    batch_size = ops.shape(bases)[0]
    row = (offset + ops.arange(batch_size, dtype="int32")) * config.num_patches
    scores = []
    for gap, projection in zip(config.gaps, model.projections, strict=True):
        ahead = np.arange(gap + 1, config.num_patches, dtype="int32")
        predictions = projection(context[:, : len(ahead)])  # (B, J, C)
        per_position, accuracy = reverse_complement.contrast(
            ops.reshape(predictions, (-1, 1, config.filters)),
            candidates,
            labels=ops.reshape(row[:, None] + ahead[None], (-1,)),
        )
        per_row = ops.mean(ops.reshape(per_position, (-1, len(ahead))), axis=1)
        scores.append((per_row, accuracy))
    per_example, accuracy = _mean(scores)
    return _output(per_example, accuracy, ops.shape(candidates)[0])


def _mean(scores: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Averages (loss, accuracy) over gaps, unweighted."""
    losses, accuracies = zip(*scores, strict=True)
    return sum(losses[1:], losses[0]) / len(losses), (
        sum(accuracies[1:], accuracies[0]) / len(accuracies)
    )


def _output(per_example: Any, accuracy: Any, num_candidates: Any) -> family.LossOutput:
    chance = 1 / ops.cast(num_candidates, "float32")
    return family.LossOutput(
        per_example=per_example,
        weight=ops.ones_like(per_example),
        metrics={"accuracy": accuracy, "chance": chance},
    )
