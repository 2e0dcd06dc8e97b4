"""The contrastive objective of Self-GenomeNet; keras only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from keras import ops

_EXCLUDED: Final = -1e30  # logit of an excluded candidate


def contrast(
    predictions: Any, targets: Any, *, labels: Any, excluded: Any = None
) -> tuple[Any, Any]:
    """Scores every prediction against all targets of the same position.

    Args:
        predictions: Float, (N, J, H): N rows, J positions, H channels.
        targets: Float, (S, J, H): the candidates, S >= N columns.
        labels: Int, (N,): the column of each row's true target.
        excluded: Optional int, (N,): a column that is not a candidate of the row.

    Returns:
        Cross-entropy in nats, float32, (N,), averaged over the J positions; and the
        accuracy, a float32 scalar: the share of rows whose true target has the largest
        logit.
    """
    logits = _compare(
        ops.transpose(predictions, (1, 0, 2)), ops.transpose(targets, (1, 0, 2))
    )
    num_positions = logits.shape[0]
    weights = np.full(num_positions, 1 / num_positions, "float32")
    return _score(logits, weights, labels=labels, excluded=excluded)


def reverse_complement_contrastive(
    predictions: Sequence[Any],
    context: Any,
    gaps: Sequence[int],
    *,
    targets: Any = None,
    row_offset: Any = 0,
) -> tuple[Any, Any]:
    """Computes the contrastive loss of predicting the reverse complement of the rest.

    The 2B rows are [S ; RC(S)]: rows b and (b + B) mod 2B are one sequence. The state
    after patches 1..j predicts, over a gap of i patches, the state of the other strand
    after its first P-j-i patches, that is, after the rest of the sequence. For
    each gap, one batched matrix product compares each prediction with the targets of
    all rows at the same j.

    Args:
        predictions: One float tensor per gap i, (2B, P-i-1, H): the projected
            context states of j = 1 .. P-i-1.
        context: Float, (2B, P, H): the context states, not projected.
        gaps: One int >= 0 per prediction, in patches.
        targets: Optional float, (R·2B, P, H): the context states of all R
            replicas, in their order; `context` by default.
        row_offset: Index of the first row of `context` in `targets`. Row r has the
            label row_offset + (r + B) mod 2B; column row_offset + r is excluded.

    Returns:
        Loss per row in nats, float32, (2B,), and accuracy, a float32 scalar: both are
        averaged over positions, then over gaps.

    Raises:
        ValueError: If the numbers of gaps and predictions differ or are 0, a gap is
            below 0 or leaves no position, or the number of positions is wrong.

    Source:
        Gündüz et al., Self-GenomeNet (2023), doi 10.1038/s42003-023-05310-2.
        Differences: a row is never its own negative (early releases kept it).
    """
    if not gaps or len(gaps) != len(predictions):
        raise ValueError(
            f"one prediction per gap is needed, got {len(predictions)} predictions"
            f" for the gaps {list(gaps)}"
        )
    targets = context if targets is None else targets
    num_rows = ops.shape(context)[0]
    rows = ops.arange(num_rows, dtype="int32")
    labels = row_offset + (rows + num_rows // 2) % num_rows  # (2B,)
    # Position j is compared with patch P-j-i of the other strand: the order reverses.
    aligned = ops.flip(ops.transpose(targets, (1, 0, 2)), axis=0)  # (P, S, H)
    logits, weights = [], []
    for prediction, gap in zip(predictions, gaps, strict=True):
        num_positions = prediction.shape[1]
        _check_gap(gap, num_positions, context.shape[1])
        logits.append(
            _compare(
                ops.transpose(prediction, (1, 0, 2)),
                _skip(aligned, gap + 1),  # (P-i-1, S, H)
            )
        )
        weights += num_positions * [1 / (num_positions * len(gaps))]
    return _score(
        ops.concatenate(logits) if len(logits) > 1 else logits[0],
        np.asarray(weights, "float32"),
        labels=labels,
        excluded=row_offset + rows,
    )


def _compare(predictions: Any, targets: Any) -> Any:
    """Returns float32 logits: (J, N, H) and (J, S, H) → (J, N, S)."""
    logits = ops.matmul(predictions, ops.transpose(targets, (0, 2, 1)))
    return ops.cast(logits, "float32")


def _score(
    logits: Any, weights: np.ndarray, *, labels: Any, excluded: Any = None
) -> tuple[Any, Any]:
    """Returns loss, (N,), and accuracy of (J, N, S), weighted (J,) over positions."""
    if excluded is not None:
        columns = ops.arange(ops.shape(logits)[2], dtype="int32")
        is_excluded = ops.equal(columns[None, :], ops.cast(excluded, "int32")[:, None])
        # Added rather than selected: the gradient of a sum costs nothing.
        logits = logits + ops.cast(is_excluded, "float32") * _EXCLUDED
    labels = ops.broadcast_to(ops.cast(labels, "int32")[None], ops.shape(logits)[:2])
    loss = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    is_hit = ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), labels)
    hits = ops.mean(ops.cast(is_hit, "float32"), axis=1)
    return ops.sum(loss * weights[:, None], axis=0), ops.sum(hits * weights)


def _skip(x: Any, count: int) -> Any:
    """Returns x[count:] of (P, S, H), with a cheaper gradient than an index."""
    size = (x.shape[0] - count, ops.shape(x)[1], x.shape[2])
    return ops.slice(x, (count, 0, 0), size)


def _check_gap(gap: int, num_positions: int | None, num_patches: int | None) -> None:
    if gap < 0:
        raise ValueError(f"a gap must be >= 0 patches, got {gap}")
    if num_positions is None or num_patches is None:
        raise ValueError(
            "the numbers of patches and positions must be static, got"
            f" {num_patches} and {num_positions}"
        )
    if num_positions < 1 or num_positions != num_patches - gap - 1:
        raise ValueError(
            f"gap {gap} with {num_patches} patches needs {num_patches - gap - 1}"
            f" predicted positions (at least 1), got {num_positions}"
        )
