"""A small example family: a dilated CNN that predicts masked bases.

It defines all names of `genomenet.models.family.Family`. `tests/test_toy_family.py`
uses it to pretrain, export, embed, fine-tune, explain and predict.
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
from genomenet.models import config_fields
from genomenet.models import family as family_lib

BASES_AT_ONCE: Final = 1 << 18
POOLS: Final = ("mean", "max", "none")
READOUTS: Final = ()
CLASSIFIER_POOL: Final = "max"
CLASSIFIER_RATE: Final = 1e-2
attend: Final = None  # no attention
predict_masked: Final = None  # masks bases, not k-mers
mutant_reader: Final = None  # every state depends on bases on both sides

_MASKED_SHARE: Final = 0.2  # share of bases that are masked
_MIN_LENGTH: Final = 5  # bases
_MAX_LENGTH: Final = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Hyperparameters.

    Attributes:
        length: Bases of a training row.
        filters: Channels, C.
        layers: Number of convolutions of width 3; each doubles the dilation.

    Raises:
        ValueError: If a value is out of range.
    """

    length: int = 40
    filters: int = 12
    layers: int = 2

    def __post_init__(self) -> None:
        if not _MIN_LENGTH <= self.length <= _MAX_LENGTH:
            raise ValueError(
                f"length must be {_MIN_LENGTH} to {_MAX_LENGTH} bases, got"
                f" {self.length}"
            )
        for name in ("filters", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")

    @property
    def max_length(self) -> int:
        """The most bases that are read at once."""
        return _MAX_LENGTH


def from_dict(values: Mapping[str, Any]) -> Config:
    """Builds a config from JSON values."""
    return config_fields.config_from_dict(Config, values)


def to_dict(config: Config) -> dict[str, Any]:
    """Returns the fields as JSON values."""
    return config_fields.config_to_dict(config)


class OneHot(keras.layers.Layer):
    """Codes to one-hot bases, (B, L) → (B, L, 4); N and padding are zeros.

    Attributes:
        edit: None, or a function of the vectors and the codes that replaces the
            vectors; see `Family.reader`.
    """

    edit: Any = None

    def call(self, bases: Any) -> Any:
        bases = ops.cast(bases, "int32")
        x = ops.one_hot(bases, alphabet.NUM_BASES, dtype=self.compute_dtype)
        return x if self.edit is None else self.edit(x, bases)


@keras.saving.register_keras_serializable(package="genomenet_tests")
class ToyNet(keras.Model):
    """Maps bases to states; with a head also to the logits of masked bases.

    Args:
        config: Hyperparameters.
        head: Whether it has the layer that predicts bases.
        name: Name of the model.

    Call arguments:
        inputs: Dict with "bases": codes of `dna.alphabet`, (B, L).
        is_masked: Which bases are set to zero, bool, (B, L); none if None.

    Returns:
        Dict with "states", float, (B, L, C), 0 at padding, and with a head "logits",
        (B, L, 4).
    """

    def __init__(
        self, config: Config, *, head: bool = True, name: str = "toy", **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        self.config, self.has_head = config, head
        self.one_hot = OneHot(name="one_hot")
        self.convolutions = [
            keras.layers.Conv1D(
                config.filters,
                3,
                padding="same",
                dilation_rate=2**index,
                activation="relu",
                kernel_initializer=initializers.GlorotUniform(),  # pyright: ignore[reportArgumentType]
                name=f"convolution_{index}",
            )
            for index in range(config.layers)
        ]
        self.output_layer = None
        if head:
            self.output_layer = keras.layers.Dense(
                alphabet.NUM_BASES,
                kernel_initializer=initializers.GlorotUniform(),  # pyright: ignore[reportArgumentType]
                name="output",
            )
        self({"bases": np.zeros((1, config.length), "uint8")})  # creates the weights

    def get_config(self) -> dict[str, Any]:
        return {
            "config": to_dict(self.config),
            "head": self.has_head,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ToyNet:
        del custom_objects
        fields = from_dict(config["config"])
        return cls(fields, head=config["head"], name=config["name"])

    def call(self, inputs: Mapping[str, Any], is_masked: Any = None) -> Any:
        bases = inputs["bases"]
        is_real = ops.cast(bases != alphabet.PAD, self.compute_dtype)[..., None]
        x = self.one_hot(bases)
        if is_masked is not None:
            x = x * (1 - ops.cast(is_masked, x.dtype)[..., None])
        for convolution in self.convolutions:
            x = convolution(x) * is_real  # padding reads as the end of the sequence
        outputs = {"states": x}
        if self.output_layer is not None:
            outputs["logits"] = self.output_layer(x)
        return outputs


def build(config: Config, *, head: bool = True) -> ToyNet:
    """Builds the model with random weights."""
    return ToyNet(config, head=head)


def with_dropout(config: Config, rate: float) -> Config:
    """Returns the config unchanged: the model has no dropout."""
    del rate
    return config


def loss(
    model: Any,
    batch: Mapping[str, Any],
    *,
    training: bool,
    gather: family_lib.Gather = family_lib.keep_local,
) -> family_lib.LossOutput:
    """Returns the cross-entropy of masked bases, in nats."""
    del training, gather
    bases = ops.cast(batch["bases"], "int32")
    positions = ops.arange(bases.shape[1], dtype="int32")[None]
    draws = random.uniform(batch["key"], positions, stream=0)
    is_masked = ops.logical_and(draws < _MASKED_SHARE, bases < alphabet.NUM_BASES)
    logits = ops.cast(model(batch, is_masked=is_masked)["logits"], "float32")
    targets = ops.minimum(bases, alphabet.NUM_BASES - 1)
    nats = keras.losses.sparse_categorical_crossentropy(
        targets, logits, from_logits=True
    )
    masked = ops.cast(is_masked, "float32")
    count = ops.sum(masked, axis=1)
    correct = ops.cast(ops.argmax(logits, axis=-1) == targets, "float32")
    total = ops.maximum(ops.sum(count), 1.0)
    return family_lib.LossOutput(
        per_example=ops.sum(nats * masked, axis=1) / ops.maximum(count, 1.0),
        weight=count,
        metrics={"accuracy": ops.sum(correct * masked) / total},
    )


def embed(
    model: Any, batch: Mapping[str, Any], pool: str, *, training: bool = False
) -> Any:
    """Returns the mean or maximum over the states of a row, or all of them."""
    del training
    states = model({"bases": batch["bases"]})["states"]
    if pool == "none":
        return states
    if pool == "max":
        return ops.max(states, axis=1)  # states are >= 0, and 0 at padding
    is_real = ops.cast(ops.cast(batch["bases"], "int32") != alphabet.PAD, states.dtype)
    return ops.sum(states, axis=1) / ops.sum(is_real, axis=1, keepdims=True)


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
    """Returns how training rows are taken: end to end, from a random phase."""
    return tiling.Window(length=config.length, stride=config.length)


def trivial_baseline(
    model: Any, seen: Sequence[Mapping[str, Any]], held_out: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Returns the scores of equal probabilities for the four bases."""
    del model, seen, held_out
    return {"loss": float(np.log(4)), "accuracy": 0.25}


def derived_metrics(means: Mapping[str, float]) -> dict[str, float]:
    """Returns no metrics in addition to those of the loss."""
    del means
    return {}


def num_parameters(config: Config, *, head: bool = True) -> int:
    """Returns the number of parameters of all layers."""
    c = config.filters
    convolutions = 3 * 4 * c + c + (config.layers - 1) * (3 * c * c + c)
    return convolutions + (4 * c + 4 if head else 0)


def width(config: Config) -> int:
    """Returns the number of channels of an embedding, C."""
    return config.filters


def min_batch_size(config: Config, num_replicas: int = 1) -> int:
    """Returns the smallest batch size: one row per device."""
    del config
    return num_replicas


def min_length(config: Config) -> int:
    """Returns the length, in bases, of the shortest sequence it can embed."""
    del config
    return _MIN_LENGTH


def reader(model: Any) -> Any:
    """Returns the layer that turns codes into vectors; see its `edit`."""
    return model.one_hot


def attribution_baseline(model: Any, x: Any, codes: Any) -> tuple[Any, Any]:
    """Returns vectors of 1/4 for each base, and which codes are bases."""
    del model
    return ops.full_like(x, 0.25), codes < alphabet.NUM_BASES


def on_spans(scores: Any) -> Any:
    """Returns scores of bases, (B, L), as scores of spans, (B, L, 1)."""
    return scores[..., None]


def spans(config: Config, length: int) -> Sequence[tuple[int, int]]:
    """Returns the interval of each base."""
    del config
    return [(start, start + 1) for start in range(length)]
