"""The arithmetic of an optimizer step, the same on every engine; keras only.

Gradients are of the sum of weighted losses. They are summed over micro-batches and
devices and then divided by the summed weights, so that neither changes the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from genomenet.models import family as family_lib


def sums(output: family_lib.LossOutput) -> dict[str, Any]:
    """Returns sums over rows, each times the row's weight.

    Args:
        output: Of a batch.

    Returns:
        "weight", "loss" and the family's metrics, float32 scalars; of a metric with a
        weight of its own that too, as `weight_name` says.
    """
    weight = ops.sum(output.weight)
    found = {"weight": weight, "loss": ops.sum(output.per_example * output.weight)}
    for name, value in output.metrics.items():
        own = weight
        if isinstance(value, tuple):
            value, own = value
            found[weight_name(name)] = ops.cast(own, "float32")
        found[name] = ops.cast(value, "float32") * own
    return found


def means(totals: Mapping[str, float]) -> dict[str, float]:
    """Returns the means of sums over any number of batches.

    Args:
        totals: Of `sums`, added up; "stop" is left out.

    Returns:
        "loss" and the family's metrics; of no weight 0.
    """
    weights = {weight_name(name): name for name in totals}
    found = {}
    for name, value in totals.items():
        if name not in ("weight", "stop") and name not in weights:
            weight = totals.get(weight_name(name), totals["weight"])
            found[name] = value / weight if weight else 0.0
    return found


def weight_name(name: str) -> str:
    """Returns what the weight of a metric is called among sums."""
    return f"{name}/weight"


def factor(
    gradients: Sequence[Any], weight: Any, *, clip_norm: float, scale: Any = 1.0
) -> Any:
    """Returns what summed gradients are multiplied with: the mean, clipped.

    Args:
        gradients: Summed over all rows.
        weight: Summed over all rows; of 0 the factor is 0.
        clip_norm: Largest global norm of the mean gradient; 0 does not clip.
        scale: Of the loss, by which an optimizer divides later.

    Returns:
        A float32 scalar.
    """
    found = ops.where(weight > 0, 1.0 / ops.where(weight > 0, weight, 1.0), 0.0)
    if clip_norm:
        squares: list[Any] = [
            ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients
        ]
        norm = ops.sqrt(sum(squares)) * found / scale
        found = found * clip_norm / ops.maximum(norm, clip_norm)
    return found
