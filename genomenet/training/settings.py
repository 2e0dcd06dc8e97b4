"""Settings of a training run: the `training` part of `config.json`, plus flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from absl import logging

from genomenet.models import config_fields

SCHEDULES: Final = ("constant", "linear", "cosine")
PRECISIONS: Final = ("float32", "mixed_bfloat16", "mixed_float16")
# Settings that may differ when a run is resumed: those on which no existing weight
# depends, and the number of steps, so that a run can be extended.
CHANGEABLE: Final = frozenset(
    {"steps", "checkpoint_every", "eval_every", "eval_batches", "keep"}
)
RETIRED: Final = frozenset({"shuffle_buffer"})
"""Keys of `config.json` that were settings in earlier versions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run, apart from its model and its data.

    Attributes:
        steps: Optimizer steps.
        batch_size: Windows in a global batch, over all replicas.
        accumulate: Global batches whose gradients are summed for one step.
        learning_rate: Peak learning rate of Adam.
        schedule: Decay after the warm-up, one of `SCHEDULES`.
        warmup_steps: Steps of linear warm-up.
        weight_decay: Weight decay of AdamW, applied to all weights but biases and
            normalisation scales; 0 gives Adam.
        beta_1: Decay rate of Adam's first moment.
        beta_2: Decay rate of Adam's second moment.
        epsilon: Constant that Adam adds to the root of the uncorrected second moment.
        clip_norm: Largest global norm of a step's gradient; 0 does not clip.
        precision: One of `PRECISIONS`.
        jit_compile: Whether XLA compiles each replica's forward and backward pass.
        seed: Seed of initial weights, row order, crops and masks.
        checkpoint_every: Steps between checkpoints.
        eval_every: Steps between evaluations on the validation split.
        eval_batches: Largest number of batches in an evaluation.
        keep: Number of checkpoints that are kept.

    Raises:
        ValueError: If a value is out of range or unknown.
    """

    steps: int = 1000
    batch_size: int = 64
    accumulate: int = 1
    learning_rate: float = 1e-4
    schedule: str = "constant"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    clip_norm: float = 0.0
    precision: str = "float32"
    jit_compile: bool = False
    seed: int = 0
    checkpoint_every: int = 200
    eval_every: int = 200
    eval_batches: int = 20
    keep: int = 3

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_size",
            "accumulate",
            "checkpoint_every",
            "eval_every",
            "eval_batches",
            "keep",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        for name in ("warmup_steps", "weight_decay", "clip_norm", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be > 0, got {self.learning_rate}")
        if self.schedule not in SCHEDULES:
            raise ValueError(
                f"schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, got"
                f" {self.precision!r}"
            )
        if self.seed > 0xFFFFFFFF:
            raise ValueError(f"seed must be below 2**32, got {self.seed}")


def for_classifier(**fields: Any) -> Settings:
    """Returns the settings of fine-tuning.

    Args:
        **fields: Fields of `Settings` that replace the defaults of fine-tuning.

    Returns:
        The settings; by default AdamW with linear decay and clipped gradients.
    """
    defaults: dict[str, Any] = {
        "batch_size": 32,
        "schedule": "linear",
        "weight_decay": 0.01,
        "epsilon": 1e-8,
        "clip_norm": 1.0,
    }
    return Settings(**{**defaults, **fields})


def from_dict(values: Mapping[str, Any]) -> Settings:
    """Builds settings from JSON values.

    Args:
        values: Field name → value.

    Returns:
        The settings; missing fields have their defaults.

    Raises:
        ValueError: If a key is unknown or a value is invalid.
    """
    known = {field.name for field in dataclasses.fields(Settings)}
    for name in RETIRED & set(values):
        logging.warning("training.%s is no longer used", name)
    values = {name: value for name, value in values.items() if name not in RETIRED}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(
            f"training has no {', '.join(map(repr, unknown))}; it has"
            f" {', '.join(sorted(known))}"
        )
    config_fields.check_types(Settings, values)
    return Settings(**values)
