"""The objective of masked language models; keras only."""

from __future__ import annotations

from typing import Any

from keras import ops


def masked_lm(logits: Any, targets: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Scores the predictions at masked positions.

    Args:
        logits: Float, (B, P, V), at P positions per row.
        targets: Int, (B, P): the original tokens at these positions.
        weights: Float, (B, P): 1 for a target, 0 for a filler position.

    Returns:
        Float32, (B,) each: cross-entropy in nats, averaged over a row's targets, 0 for
        a row without targets; the share of targets that have the largest logit; and the
        number of targets.
    """
    logits = ops.cast(logits, "float32")
    weights = ops.cast(weights, "float32")
    loss = ops.sparse_categorical_crossentropy(targets, logits, from_logits=True)
    best = ops.cast(ops.argmax(logits, axis=-1), "int32")
    hit = ops.cast(ops.equal(best, ops.cast(targets, "int32")), "float32")
    count = ops.sum(weights, axis=1)  # (B,)
    per_target = 1.0 / ops.maximum(count, 1.0)
    return (
        ops.sum(loss * weights, axis=1) * per_target,
        ops.sum(hit * weights, axis=1) * per_target,
        count,
    )
