"""Self-GenomeNet as a Keras model."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from genomenet.dna import alphabet
from genomenet.layers import initializers
from genomenet.models.selfgenomenet import config as config_lib
from genomenet.models.selfgenomenet import context as context_lib


@keras.saving.register_keras_serializable(package="genomenet")
class SelfGenomeNet(keras.Model):
    """Maps bases to context states; holds the projections for pretraining.

    Args:
        config: Hyperparameters.
        fold: Whether encoder and input map run as one product; see `ContextNet`.
        head: Whether it has the projections; fine-tuning does not need them.

    Call arguments:
        inputs: Dict with "bases": codes of `dna.alphabet`, (B, L).

    Returns:
        Dict with "context": float, (B, P, H), P = (L - kernel_size) // stride + 1.
        State p depends on patches 0..p only, so padding on the right, code 5, does not
        change the states of patches before it.

    Source:
        Gündüz et al., Self-GenomeNet (2023), doi 10.1038/s42003-023-05310-2.
        Differences: none.
    """

    def __init__(
        self,
        config: config_lib.SelfGenomeNetConfig,
        *,
        fold: bool = True,
        head: bool = True,
        name: str = "selfgenomenet",
        **kwargs: Any,
    ):
        # === Layers ===
        context_net = context_lib.ContextNet(
            config.units,
            filters=config.filters,
            kernel_size=config.kernel_size,
            stride=config.stride,
            fold=fold,
            name="context",
        )
        # === Functional model ===
        bases = keras.Input((None,), dtype="uint8", name="bases")
        super().__init__(
            inputs={"bases": bases},
            outputs={"context": context_net(bases)},
            name=name,
            **kwargs,
        )
        # === Config ===
        self.config = config
        self.context_net = context_net
        self.has_head = head
        # Used only by the objective, not between inputs and outputs.
        self.projections = [
            keras.layers.Dense(
                config.prediction_width,
                kernel_initializer=initializers.GlorotUniform(),  # pyright: ignore[reportArgumentType]
                name=f"projection_{gap}",
            )
            for gap in (config.gaps if head else ())
        ]
        for projection in self.projections:
            projection.build((None, None, config.units))

    def get_config(self) -> dict[str, Any]:
        return {
            "config": config_lib.to_dict(self.config),
            "fold": self.context_net.fold,
            "head": self.has_head,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> SelfGenomeNet:
        del custom_objects
        fields = config_lib.from_dict(config["config"])
        return cls(
            fields, fold=config["fold"], head=config["head"], name=config["name"]
        )


def last_state(context: Any, bases: Any, config: config_lib.SelfGenomeNetConfig) -> Any:
    """Returns the state after each row's last complete patch without padding.

    Args:
        context: Float, (B, P, H).
        bases: Codes, (B, L), padded on the right.
        config: Hyperparameters.

    Returns:
        Float, (B, H).
    """
    num_patches = count_patches(bases, config)
    is_last = ops.one_hot(num_patches - 1, ops.shape(context)[1], dtype=context.dtype)
    return ops.einsum("bp,bph->bh", is_last, context)


def count_patches(bases: Any, config: config_lib.SelfGenomeNetConfig) -> Any:
    """Counts the complete patches without padding in each row: (B, L) → int32 (B,)."""
    lengths = ops.sum(ops.cast(bases != alphabet.PAD, "int32"), axis=1)
    return (lengths - config.kernel_size) // config.stride + 1
