"""Learning-rate schedules and the optimizer."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from genomenet.training import settings as settings_lib


@keras.saving.register_keras_serializable(package="genomenet")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to a peak, then constant, linear or cosine decay to 0.

    Args:
        peak: Largest learning rate.
        steps: Steps of the whole run.
        warmup_steps: Steps of warm-up; step s of them has rate peak·(s+1)/warmup.
        decay: "constant", "linear" or "cosine".
    """

    def __init__(self, *, peak: float, steps: int, warmup_steps: int, decay: str):
        self.peak = peak
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.decay = decay

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        decayed = ops.convert_to_tensor(1.0, "float32")
        if self.decay != "constant":
            span = max(self.steps - self.warmup_steps, 1)
            done = ops.clip((step - self.warmup_steps) / span, 0.0, 1.0)
            linear = 1.0 - done
            cosine = 0.5 * (1.0 + ops.cos(math.pi * done))
            decayed = linear if self.decay == "linear" else cosine
        warm = ops.minimum((step + 1.0) / max(self.warmup_steps, 1), 1.0)
        return self.peak * warm * decayed

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "decay": self.decay,
        }


def make_optimizer(
    settings: settings_lib.Settings, model: keras.Model
) -> keras.optimizers.Optimizer:
    """Builds Adam or AdamW for a model.

    Args:
        settings: Settings of the run.
        model: The model whose trainable weights it updates.

    Returns:
        The optimizer, wrapped in loss scaling for mixed_float16. It does not clip
        gradients: the loop clips them after reducing them over replicas.
    """
    optimizer: keras.optimizers.Optimizer = keras.optimizers.Adam(
        learning_rate=WarmupDecay(  # pyright: ignore[reportArgumentType]
            peak=settings.learning_rate,
            steps=settings.steps,
            warmup_steps=settings.warmup_steps,
            decay=settings.schedule,
        ),
        weight_decay=settings.weight_decay or None,  # decoupled, as in AdamW
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
    )
    if settings.weight_decay:
        spared = [v for v in model.trainable_variables if len(v.shape) == 1]
        optimizer.exclude_from_weight_decay(var_list=spared)
    if settings.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer
