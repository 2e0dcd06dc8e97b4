"""The contrastive objective of Self-GenomeNet; keras only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from keras import ops

_EXCLUDED: Final = -1e30  # a logit that takes no part in a softmax


def contrast(
    predictions: Any, targets: Any, *, labels: Any, excluded: Any = None
) -> tuple[Any, Any]:
    """Scores every prediction against all targets of the same position.

    Args:
        predictions: Float, (N, J, H): N rows, J positions, H channels.
        targets: Float, (S, J, H): the candidates, S >= N columns.
        labels: Int, (N,): the column of each row's true target.
        excluded: Optional int, (N,): a column that is no candidate of the row.

    Returns:
        Cross-entropy in nats, float32, (N,), the mean over the J positions; and
        the share of rows whose largest logit is the true one, a float32 scalar.
    """
    return _contrast_by_position(
        ops.transpose(predictions, (1, 0, 2)),
        ops.transpose(targets, (1, 0, 2)),
        labels=labels,
        excluded=excluded,
    )


def reverse_complement_contrastive(
    predictions: Sequence[Any],
    context: Any,
    gaps: Sequence[int],
    *,
    targets: Any = None,
    row_offset: Any = 0,
) -> tuple[Any, Any]:
    """Predicts the reverse complement of the rest of a sequence, contrastively.

    The 2B rows are [S ; RC(S)]: rows b and (b + B) mod 2B are one sequence. What
    has read patches 1..j predicts, over a gap of i patches, the state of the other
    strand after its first P-j-i patches, that is, after the rest of the sequence.
    One batched matrix product a gap compares it with every row at the same j.

    Args:
        predictions: One float tensor per gap i, (2B, P-i-1, H): the projected
            context states of j = 1 .. P-i-1.
        context: Float, (2B, P, H): the context states, not projected.
        gaps: One int >= 0 per prediction, in patches.
        targets: Optional float, (R·2B, P, H): the context states of all R
            replicas, in their order; `context` by default.
        row_offset: The row of `targets` where `context` begins. Row r is excluded
            from column row_offset + r and labelled row_offset + (r + B) mod 2B.

    Returns:
        Loss per row in nats, float32, (2B,), and accuracy, a float32 scalar: each
        the unweighted mean over the gaps of the mean over positions.

    Raises:
        ValueError: If there are not as many gaps as predictions, none at all, a
            gap below 0 or without a position, or a wrong number of positions.

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
    # Position j looks at patch P-j-i of the other strand: later j, earlier patch.
    aligned = ops.flip(ops.transpose(targets, (1, 0, 2)), axis=0)  # (P, S, H)
    losses, accuracies = [], []
    for prediction, gap in zip(predictions, gaps, strict=True):
        num_positions = prediction.shape[1]
        _check_gap(gap, num_positions, context.shape[1])
        loss, accuracy = _contrast_by_position(
            ops.transpose(prediction, (1, 0, 2)),
            aligned[gap + 1 :],  # (P-i-1, S, H)
            labels=labels,
            excluded=row_offset + rows,
        )
        losses.append(loss)
        accuracies.append(accuracy)
    num_gaps = len(losses)
    return sum(losses[1:], losses[0]) / num_gaps, (
        sum(accuracies[1:], accuracies[0]) / num_gaps
    )


def _contrast_by_position(
    predictions: Any, targets: Any, *, labels: Any, excluded: Any = None
) -> tuple[Any, Any]:
    """Does `contrast` on (J, N, H) and (J, S, H), as the batched product wants them."""
    # (J, N, H) x (J, H, S) -> (J, N, S)
    logits = ops.matmul(predictions, ops.transpose(targets, (0, 2, 1)))
    logits = ops.cast(logits, "float32")
    if excluded is not None:
        columns = ops.arange(ops.shape(targets)[1], dtype="int32")
        is_excluded = ops.equal(columns[None, :], ops.cast(excluded, "int32")[:, None])
        logits = ops.where(is_excluded[None], _EXCLUDED, logits)
    labels = ops.broadcast_to(ops.cast(labels, "int32")[None], ops.shape(logits)[:2])
    loss = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    is_hit = ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), labels)
    return ops.mean(loss, axis=0), ops.mean(ops.cast(is_hit, "float32"))


def _check_gap(gap: int, num_positions: int | None, num_patches: int | None) -> None:
    if gap < 0:
        raise ValueError(f"a gap must be >= 0 patches, got {gap}")
    if num_positions is None or num_patches is None:
        raise ValueError("the numbers of patches and of positions must be static")
    if num_positions < 1 or num_positions != num_patches - gap - 1:
        raise ValueError(
            f"gap {gap} with {num_patches} patches needs {num_patches - gap - 1}"
            f" predicted positions (at least 1), got {num_positions}"
        )
