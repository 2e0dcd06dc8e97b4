"""A third family, small: a dilated CNN over one-hot bases that fills in hidden ones.

What an architecture has to provide, and all of it; `tests/test_toy_family.py` takes it
through every job.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from genomenet.dna import alphabet, tiling
from genomenet.layers import initializers, random
from genomenet.models import family as family_lib

BASES_AT_ONCE: Final = 1 << 18
POOLS: Final = ("mean", "max", "none")
READOUTS: Final = ()
CLASSIFIER_POOL: Final = "max"
CLASSIFIER_RATE: Final = 1e-2
attend: Final = None
predict_masked: Final = None
resume: Final = None

_HIDDEN: Final = 0.2  # share of bases that are hidden


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The hyperparameters.

    Attributes:
        length: Bases of a training row.
        filters: Channels, C.
        layers: Convolutions of width 3; each doubles the distance of its taps.
    """

    length: int = 40
    filters: int = 12
    layers: int = 2

    @property
    def max_length(self) -> int:
        """The most bases that are read at once."""
        return 1000


def from_dict(values: Mapping[str, Any]) -> Config:
    """Returns the config of JSON values."""
    return family_lib.config_from_dict(Config, values)


def to_dict(config: Config) -> dict[str, Any]:
    """Returns the fields as JSON values."""
    return dataclasses.asdict(config)


class OneHot(keras.layers.Layer):
    """Codes to one-hot bases, (B, L) → (B, L, 4); N and padding are zeros."""

    edit: Any = None

    def call(self, bases: Any) -> Any:
        bases = ops.cast(bases, "int32")
        x = ops.one_hot(bases, alphabet.NUM_BASES, dtype=self.compute_dtype)
        return x if self.edit is None else self.edit(x, bases)


@keras.saving.register_keras_serializable(package="genomenet_tests")
class ToyNet(keras.Model):
    """The encoder, and with a head the probabilities of hidden bases."""

    def __init__(self, config: Config, *, head: bool = True, name: str = "toy"):
        super().__init__(name=name)
        self.config, self.has_head = config, head
        self.one_hot = OneHot(name="one_hot")
        self.convolutions = [
            keras.layers.Conv1D(
                config.filters,
                3,
                padding="same",
                dilation_rate=2**number,
                activation="relu",
                kernel_initializer=initializers.GlorotUniform(),
                name=f"convolution_{number}",
            )
            for number in range(config.layers)
        ]
        self.output_layer = None
        if head:
            self.output_layer = keras.layers.Dense(
                alphabet.NUM_BASES,
                kernel_initializer=initializers.GlorotUniform(),
                name="output",
            )
        self({"bases": np.zeros((1, config.length), "uint8")})

    def call(self, inputs: Mapping[str, Any], hidden: Any = None) -> Any:
        bases = inputs["bases"]
        is_real = ops.cast(bases != alphabet.PAD, self.compute_dtype)[..., None]
        x = self.one_hot(bases)
        if hidden is not None:
            x = x * (1 - ops.cast(hidden, x.dtype)[..., None])
        for convolution in self.convolutions:
            x = convolution(x) * is_real  # as if the sequence ended there
        outputs = {"states": x}
        if self.output_layer is not None:
            outputs["logits"] = self.output_layer(x)
        return outputs


def build(config: Config, *, head: bool = True) -> ToyNet:
    """Returns the model with fresh weights."""
    return ToyNet(config, head=head)


def with_dropout(config: Config, rate: float) -> Config:
    """Returns the config: nothing is dropped."""
    del rate
    return config


def loss(
    model: Any,
    batch: Mapping[str, Any],
    *,
    training: bool,
    gather: family_lib.Gather = family_lib.keep_local,
) -> family_lib.LossOutput:
    """Hides bases and scores what the model fills in."""
    del training, gather
    bases = ops.cast(batch["bases"], "int32")
    positions = ops.arange(bases.shape[1], dtype="int32")[None]
    draws = random.uniform(batch["key"], positions, stream=0)
    hidden = ops.logical_and(draws < _HIDDEN, bases < alphabet.NUM_BASES)
    logits = ops.cast(model(batch, hidden=hidden)["logits"], "float32")
    targets = ops.minimum(bases, alphabet.NUM_BASES - 1)
    nats = keras.losses.sparse_categorical_crossentropy(
        targets, logits, from_logits=True
    )
    chosen = ops.cast(hidden, "float32")
    count = ops.sum(chosen, axis=1)
    right = ops.cast(ops.argmax(logits, axis=-1) == targets, "float32")
    total = ops.maximum(ops.sum(count), 1.0)
    return family_lib.LossOutput(
        per_example=ops.sum(nats * chosen, axis=1) / ops.maximum(count, 1.0),
        weight=count,
        metrics={"accuracy": ops.sum(right * chosen) / total},
    )


def embed(
    model: Any, batch: Mapping[str, Any], pool: str, *, training: bool = False
) -> Any:
    """Returns the mean or the maximum of the bases' states, or one for each."""
    del training
    states = model({"bases": batch["bases"]})["states"]
    if pool == "none":
        return states
    if pool == "max":
        return ops.max(states, axis=1)  # at least 0, as at padding
    real = ops.cast(ops.cast(batch["bases"], "int32") != alphabet.PAD, states.dtype)
    return ops.sum(states, axis=1) / ops.sum(real, axis=1, keepdims=True)


def read_out(
    model: Any,
    batch: Mapping[str, Any],
    names: Sequence[str],
    *,
    training: bool = False,
) -> list[Any]:
    """Returns the vectors of several pools."""
    return [embed(model, batch, name, training=training) for name in names]


def window(config: Config) -> tiling.Window:
    """Returns how training rows are cut: end to end."""
    return tiling.Window(length=config.length, stride=config.length)


def trivial_baseline(
    model: Any, seen: Sequence[Mapping[str, Any]], held_out: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Returns what guessing all bases alike scores."""
    del model, seen, held_out
    return {"loss": float(np.log(4)), "accuracy": 0.25}


def derived(means: Mapping[str, float]) -> dict[str, float]:
    """Returns no more metrics."""
    del means
    return {}


def num_parameters(config: Config, *, head: bool = True) -> int:
    """Returns the numbers in all weights."""
    c = config.filters
    convolutions = 3 * 4 * c + c + (config.layers - 1) * (3 * c * c + c)
    return convolutions + (4 * c + 4 if head else 0)


def width(config: Config) -> int:
    """Returns the channels of an embedding."""
    return config.filters


def fewest_rows(config: Config, num_replicas: int = 1) -> int:
    """Returns a row for each device."""
    del config
    return num_replicas


def shortest(config: Config) -> int:
    """Returns the bases of the shortest sequence."""
    del config
    return 5


def reader(model: Any) -> Any:
    """Returns the layer that turns bases into numbers."""
    return model.one_hot


def unread(model: Any, x: Any, codes: Any) -> tuple[Any, Any]:
    """Returns a quarter of each base, and where bases are."""
    del model
    return ops.full_like(x, 0.25), codes < alphabet.NUM_BASES


def on_spans(scores: Any) -> Any:
    """Returns scores of bases, (B, L), as (B, L, 1)."""
    return scores[..., None]


def spans(config: Config, length: int) -> Sequence[tuple[int, int]]:
    """Returns each base by itself."""
    del config
    return [(start, start + 1) for start in range(length)]
