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
    """Returns sums over rows, each row multiplied by its weight.

    Args:
        output: Loss and metrics of a batch.

    Returns:
        "weight", "loss" and the family's metrics, float32 scalars. A metric with its
        own weight adds that weight under `weight_name`.
    """
    weight = ops.sum(output.weight)
    totals = {"weight": weight, "loss": ops.sum(output.per_example * output.weight)}
    for name, value in output.metrics.items():
        metric_weight = weight
        if isinstance(value, tuple):
            value, metric_weight = value
            totals[weight_name(name)] = ops.cast(metric_weight, "float32")
        totals[name] = ops.cast(value, "float32") * metric_weight
    return totals


def means(totals: Mapping[str, float]) -> dict[str, float]:
    """Returns the means of sums over any number of batches.

    Args:
        totals: Results of `sums`, added up; "stop" is ignored.

    Returns:
        "loss" and the family's metrics; 0 where the weight is 0.
    """
    weights = {weight_name(name): name for name in totals}
    result = {}
    for name, value in totals.items():
        if name not in ("weight", "stop") and name not in weights:
            weight = totals.get(weight_name(name), totals["weight"])
            result[name] = value / weight if weight else 0.0
    return result


def weight_name(name: str) -> str:
    """Returns the key of a metric's own weight among sums."""
    return f"{name}/weight"


def factor(
    gradients: Sequence[Any], weight: Any, *, clip_norm: float, scale: Any = 1.0
) -> Any:
    """Returns the factor that turns summed gradients into the clipped mean.

    Args:
        gradients: Gradients summed over all rows.
        weight: Weight summed over all rows; if it is 0 the factor is 0.
        clip_norm: Largest global norm of the mean gradient; 0 does not clip.
        scale: Scale of the loss, by which the optimizer divides later.

    Returns:
        A float32 scalar.
    """
    result = ops.where(weight > 0, 1.0 / ops.where(weight > 0, weight, 1.0), 0.0)
    if clip_norm:
        squares: list[Any] = [
            ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients
        ]
        norm = ops.sqrt(sum(squares)) * result / scale
        result = result * clip_norm / ops.maximum(norm, clip_norm)
    return result
