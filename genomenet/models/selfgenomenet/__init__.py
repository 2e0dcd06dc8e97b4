"""Self-GenomeNet; implements `genomenet.models.family.Family`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from keras import ops

from genomenet.dna import alphabet, tiling
from genomenet.layers import readout
from genomenet.models import family
from genomenet.models.selfgenomenet import backbone, mutants
from genomenet.models.selfgenomenet.backbone import SelfGenomeNet
from genomenet.models.selfgenomenet.config import SelfGenomeNetConfig as Config
from genomenet.models.selfgenomenet.config import from_dict, to_dict
from genomenet.models.selfgenomenet.objective import loss, trivial_baseline

__all__ = [
    "BASES_AT_ONCE",
    "CLASSIFIER_POOL",
    "CLASSIFIER_RATE",
    "POOLS",
    "READOUTS",
    "Config",
    "SelfGenomeNet",
    "attend",
    "attribution_baseline",
    "build",
    "derived_metrics",
    "embed",
    "from_dict",
    "loss",
    "min_batch_size",
    "min_length",
    "mutant_reader",
    "num_parameters",
    "on_spans",
    "predict_masked",
    "read_out",
    "reader",
    "spans",
    "to_dict",
    "trivial_baseline",
    "width",
    "window",
    "with_dropout",
]

BASES_AT_ONCE: Final = 1 << 18
POOLS: Final = ("last", "mean", "max", "none")  # the first is the default of `embed`
READOUTS: Final = ("bins",)  # in addition to the pools
CLASSIFIER_POOL: Final = "max"  # a site may lie anywhere; see docs/log.md
CLASSIFIER_RATE: Final = 2e-3  # peak rate with batches of 32; see docs/log.md
attend: Final = None  # no attention
predict_masked: Final = None  # no masked tokens
mutant_reader: Final = family.MutantReader(
    prepare=mutants.prepare, read_out=mutants.read_out
)


def build(config: Config, **kwargs: Any) -> SelfGenomeNet:
    """Builds a Self-GenomeNet with random weights.

    Args:
        config: Hyperparameters.
        **kwargs: Arguments of `SelfGenomeNet`.

    Returns:
        The model, with all weights built.
    """
    return SelfGenomeNet(config, **kwargs)


def window(config: Config) -> tiling.Window:
    """Returns how training windows are taken: end to end, from a random phase."""
    return tiling.Window(length=config.length, stride=config.length)


def with_dropout(config: Config, rate: float) -> Config:
    """Returns the config unchanged: Self-GenomeNet has no dropout.

    Args:
        config: Hyperparameters.
        rate: Not used.

    Returns:
        `config`.
    """
    del rate
    return config


def embed(
    model: SelfGenomeNet,
    batch: Mapping[str, Any],
    pool: str = "last",
    *,
    training: bool = False,
) -> Any:
    """Embeds sequences; padding never changes a result.

    Args:
        model: Self-GenomeNet.
        batch: "bases", codes, (B, L), padded on the right; at least one patch long.
        pool: "last" takes the state after the last complete patch, "mean" and "max"
            pool over the patches, "none" returns a state for every patch; or one of
            `READOUTS`.
        training: Not used.

    Returns:
        Float, (B, H); for bins (B, 8·H); for "none" (B, P, H), where states of patches
        that reach into padding are meaningless.

    Raises:
        ValueError: If the pool is unknown.
    """
    pools = (*POOLS, *READOUTS)
    if pool not in pools:
        raise ValueError(
            f"Self-GenomeNet has no pool {pool!r}; it has {', '.join(pools)}"
        )
    return read_out(model, batch, (pool,), training=training)[0]


def read_out(
    model: SelfGenomeNet,
    batch: Mapping[str, Any],
    names: Sequence[str],
    *,
    training: bool = False,
) -> list[Any]:
    """Returns several vectors of each sequence; the encoder runs once.

    Args:
        model: Self-GenomeNet.
        batch: As for `embed`.
        names: Names in `POOLS` and `READOUTS`: "bins" are means over 8 parts of the
            sequence.
        training: Not used.

    Returns:
        For each name float, (B, H), or for bins (B, 8·H); for "none" (B, P, H).
    """
    del training
    bases = batch["bases"]
    context = model({"bases": bases})["context"]  # (B, P, H)
    num_patches = backbone.count_patches(bases, model.config)[:, None]
    is_real = ops.arange(ops.shape(context)[1], dtype="int32")[None] < num_patches

    def pool(name: str) -> Any:
        if name == "none":
            return context
        if name == "last":
            return backbone.last_state(context, bases, model.config)
        if name == "max":
            lowest = ops.cast(-1.0, context.dtype)  # states are within (-1, 1)
            return ops.max(ops.where(is_real[..., None], context, lowest), axis=1)
        return {"mean": readout.mean, "bins": readout.bins}[name](context, is_real)

    return [pool(name) for name in names]


def derived_metrics(means: Mapping[str, float]) -> dict[str, float]:
    """Returns no metrics in addition to those of the loss."""
    del means
    return {}


def reader(model: SelfGenomeNet) -> Any:
    """Returns the layer that reads one-hot bases; see its `edit`."""
    return model.context_net.encoder


def attribution_baseline(model: SelfGenomeNet, x: Any, codes: Any) -> tuple[Any, Any]:
    """Returns one-hot vectors of 1/4 for each base, and which codes are bases.

    Args:
        model: The model.
        x: One-hot bases of patches, float, (B, P, K, 4).
        codes: Their codes, (B, P, K).

    Returns:
        Float, (B, P, K, 4), and bool, (B, P, K).
    """
    del model
    return ops.full_like(x, 1 / alphabet.NUM_BASES), codes < alphabet.NUM_BASES


def on_spans(scores: Any) -> Any:
    """Returns the scores of the bases of patches unchanged: (B, P, K)."""
    return scores


def spans(config: Config, length: int) -> Sequence[tuple[int, int]]:
    """Returns the interval of bases of each patch.

    Args:
        config: Hyperparameters.
        length: Bases of the sequence.

    Returns:
        0-based half-open intervals, one per complete patch.
    """
    starts = range(0, length - config.kernel_size + 1, config.stride)
    return [(start, start + config.kernel_size) for start in starts]


def num_parameters(config: Config, *, head: bool = True) -> int:
    """Returns the number of parameters, with the projections if `head`."""
    return config.num_parameters(head=head)


def width(config: Config) -> int:
    """Returns the number of channels of an embedding, H."""
    return config.units


def min_batch_size(config: Config, num_replicas: int = 1) -> int:
    """Returns the smallest batch size that has negatives.

    Args:
        config: Hyperparameters.
        num_replicas: Number of devices that share a batch.

    Returns:
        2 if rows are compared over all devices, else 2 per device.
    """
    return 2 if config.negatives == "global" else 2 * num_replicas


def min_length(config: Config) -> int:
    """Returns the length, in bases, of the shortest sequence it can embed: a patch."""
    return config.kernel_size
