"""The interface of all model families, and helpers for their weights."""

from __future__ import annotations

import collections
import errno
import math
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from genomenet.dna import tiling

_HEADERS: Final = 1 << 20  # bytes of a weights file besides its weights, at most

Gather = Callable[[Any], tuple[Any, Any]]
"""Joins the rows of all devices: x, (N, ...) → x of all R devices, (R·N, ...), and the
index in it of this device's first row. Differentiable."""


def keep_local(x: Any) -> tuple[Any, int]:
    """Returns `x` unchanged: the `Gather` of a single replica."""
    return x, 0


class LossOutput(NamedTuple):
    """Loss and metrics of one batch.

    Attributes:
        per_example: Loss of each row, float32, (B,), averaged over its targets.
        weight: Weight of each row, float32, (B,): its number of targets, or 1.
        metrics: Name → float32 scalar in [0, 1], the mean with the weights above. A
            metric with other weights is a pair: the mean, and the sum of its weights.
    """

    per_example: Any
    weight: Any
    metrics: dict[str, Any]


class MutantReader(NamedTuple):
    """Functions that read mutants of a sequence without recomputing all of it.

    A family may omit them; all mutants are then read in full.

    Attributes:
        prepare: (model, bases) → the states that mutants share with the sequence, any
            structure of tensors. `bases` are codes, (1, L).
        read_out: (model, kept, mutants, names, first, stop) → the result of
            `Family.read_out` for the mutants.
            kept: Result of `prepare`.
            mutants: Codes, (M, L).
            names: As for `Family.read_out`, without "none".
            first: Index of the first base in which each mutant differs, int32, (M,),
                ascending.
            stop: One past the last such base, int32, (M,), ascending.
    """

    prepare: Callable[[Any, Any], Any]
    read_out: Callable[[Any, Any, Any, Sequence[str], Any, Any], Sequence[Any]]


class Family(Protocol):
    """The names that the package of a family must define.

    `tests/toy_family.py` is the smallest family. `pyright genomenet/models` lists what
    an entry of `models.FAMILIES` lacks.

    A batch is a dict with "bases": uint8 codes of `dna.alphabet`, (B, L). Rows that are
    shorter than L are padded on the right with code 5, which must not change any result
    except those of pool "none" that reach into padding.

    Attributes:
        Config: The frozen dataclass of hyperparameters. It has `length`, the bases of
            a training row, and `max_length`, the most bases that are read at once.
        POOLS: Ways to turn a sequence into vectors. The first is used if the user names
            none; "none" returns a vector for each of `spans`.
        READOUTS: Names that `read_out` accepts in addition to `POOLS`; may be empty.
        BASES_AT_ONCE: Largest batch on a CPU, in bases; larger ones are divided. Use
            `1 << 18` unless you have measured.
        CLASSIFIER_POOL: Default pool of classifiers.
        CLASSIFIER_RATE: Peak learning rate of fine-tuning with batches of 32.
        attend: Model and batch → attention to each of `spans`, (B, P); None for a
            family without attention.
        predict_masked: Function that predicts masked k-mers, as
            `models.bert.predict_masked`. None for all other families, including those
            that mask bases: `score_variants` then has no masked score, and the result
            of `genomenet.load_model` no `predict_masked`.
        mutant_reader: Functions that read mutants faster, for states that depend only
            on the bases before them. Optional: may be None.
    """

    @property
    def Config(self) -> Any: ...  # noqa: N802
    @property
    def POOLS(self) -> tuple[str, ...]: ...  # noqa: N802
    @property
    def READOUTS(self) -> tuple[str, ...]: ...  # noqa: N802
    @property
    def BASES_AT_ONCE(self) -> int: ...  # noqa: N802
    @property
    def CLASSIFIER_POOL(self) -> str: ...  # noqa: N802
    @property
    def CLASSIFIER_RATE(self) -> float: ...  # noqa: N802
    @property
    def predict_masked(
        self,
    ) -> Callable[[Any, Mapping[str, Any], Any, Any], Any] | None: ...
    @property
    def attend(self) -> Callable[[Any, Mapping[str, Any]], Any] | None: ...

    @property
    def mutant_reader(self) -> MutantReader | None: ...

    def from_dict(self, values: Mapping[str, Any]) -> Any:
        """Builds a config from JSON values; a ValueError names the invalid field."""
        ...

    def to_dict(self, config: Any) -> dict[str, Any]:
        """Returns the fields of a config as JSON values."""
        ...

    def build(self, config: Any, *, head: bool = True) -> Any:
        """Builds the model with random weights.

        Args:
            config: Config of the family.
            head: Whether the model has the layers that only the pretraining objective
                uses.

        Returns:
            The model, with all weights created: a subclassed `keras.Model` is called
            once on zeros. `model.config` is the config. Its class has `get_config` and
            `from_config`.
        """
        ...

    def with_dropout(self, config: Any, rate: float) -> Any:
        """Returns the config with another dropout rate, for fine-tuning.

        A family without dropout returns `config`.
        """
        ...

    def loss(
        self,
        model: Any,
        batch: Mapping[str, Any],
        *,
        training: bool,
        gather: Gather = keep_local,
    ) -> LossOutput:
        """Returns the pretraining loss, a pure function of weights and batch.

        Args:
            model: The model, with its head.
            batch: "bases", uint8 codes, (B, L), without padding unless `window` has a
                `shortest_cut`; and "key", uint32, (B, 2), one per row. Random masks are
                drawn from the key with `layers.random.uniform(batch["key"], ...)`, so
                that a run that is resumed draws the same masks.
            training: Whether the loss is used for training.
            gather: Joins tensors, such as negatives, over all devices. An objective
                that does not compare rows ignores it.
        """
        ...

    def embed(
        self, model: Any, batch: Mapping[str, Any], pool: str, *, training: bool = False
    ) -> Any:
        """Returns one vector per row, or per patch or token for pool "none"."""
        ...

    def read_out(
        self,
        model: Any,
        batch: Mapping[str, Any],
        names: Sequence[str],
        *,
        training: bool = False,
    ) -> Sequence[Any]:
        """Returns the vectors for each of the named pools and `READOUTS`.

        Rows are padded on the right with code 5; padding must not change the result.
        A readout whose name ends in "bins" has `layers.readout.NUM_BINS` vectors.
        """
        ...

    def window(self, config: Any) -> tiling.Window:
        """Returns how training rows are taken from sequences."""
        ...

    def trivial_baseline(
        self,
        model: Any,
        seen: Sequence[Mapping[str, Any]],
        held_out: Sequence[Mapping[str, Any]],
    ) -> dict[str, float]:
        """Returns chance-level "loss" and "accuracy", estimated from `seen` batches."""
        ...

    def derived_metrics(self, means: Mapping[str, float]) -> dict[str, float]:
        """Returns metrics computed from the mean loss and metrics."""
        ...

    def num_parameters(self, config: Any, *, head: bool = True) -> int:
        """Returns the number of parameters of `build(config, head=head)`.

        It is compared with the model before training, and with the weights of a file
        before a model is loaded.
        """
        ...

    def width(self, config: Any) -> int:
        """Returns the number of channels of an embedding."""
        ...

    def min_batch_size(self, config: Any, num_replicas: int = 1) -> int:
        """Returns the smallest batch size for the objective, over all devices."""
        ...

    def min_length(self, config: Any) -> int:
        """Returns the length, in bases, of the shortest sequence it can embed."""
        ...

    def reader(self, model: Any) -> Any:
        """Returns the layer that turns codes into vectors.

        The layer must have an attribute `edit`, None by default. Attribution sets it to
        a function (vectors, codes) → vectors: vectors, float, (B, …, C), of bases or
        tokens, and their codes or token ids, (B, …). The layer's `call` must return
        `self.edit(vectors, codes)` if it is set.
        """
        ...

    def attribution_baseline(self, model: Any, x: Any, codes: Any) -> tuple[Any, Any]:
        """Returns the vectors of uninformative input, as a baseline of attribution.

        Args:
            model: The model.
            x: Vectors that `reader(model).edit` receives.
            codes: Codes that it receives.

        Returns:
            Vectors that stand for no particular base, of the shape of `x`; and a bool
            mask of the shape of `codes`, False at N, padding and special tokens.
        """
        ...

    def on_spans(self, scores: Any) -> Any:
        """Arranges scores of the inputs of `edit` by `spans`.

        Args:
            scores: Float, of the shape of the `codes` of `edit`.

        Returns:
            Float, (B, P, K), scores of the bases of each span, or (B, P, 1).
        """
        ...

    def spans(self, config: Any, length: int) -> Sequence[tuple[int, int]]:
        """Returns the interval of bases of each vector of pool "none"."""
        ...


def missing_names(module: Any) -> list[str]:
    """Returns the names of `Family` that a module does not define."""
    names = [name for name in vars(Family) if not name.startswith("_")]
    return [name for name in names if not hasattr(module, name)]


def build_from(family: Any, config: Any, source: Any = None) -> Any:
    """Builds a model with initial weights.

    Args:
        family: The family.
        config: Config of the family.
        source: A model with the initial weights; random weights if None.

    Returns:
        The model.

    Raises:
        ValueError: If the model has no weights yet, or their number differs from the
            family's `num_parameters`, or the weights of `source` do not fit.
    """
    model = family.build(config)
    name = f"{family.__name__}.build"
    if not model.trainable_weights:
        raise ValueError(
            f"{type(model).__name__} of {name} has no weights yet, so training would"
            " have no effect; call the model once on zeros in `build`"
        )
    held = sum(math.prod(weight.shape) for weight in model.weights)
    expected = family.num_parameters(config)
    if held != expected:
        raise ValueError(
            f"{name} returns a model of {held:,} parameters, but"
            f" {family.__name__}.num_parameters returns {expected:,}; correct one of"
            " the two"
        )
    if source is not None:
        transfer(source, model)
    return model


def transfer(source: Any, target: Any) -> None:
    """Copies weights from one model to another by their paths.

    Args:
        source: A pretrained model, its encoder, or a classifier.
        target: The model, encoder or classifier that receives the weights.

    Raises:
        ValueError: If a weight is missing in the source, or has another shape.
    """
    source_weights = collections.defaultdict(list)  # several encoders: in their order
    for weight in source.weights:
        source_weights[weight.path].append(weight)
    for weight in target.weights:
        given = next(iter(source_weights[weight.path]), None)
        if given is None or tuple(given.shape) != tuple(weight.shape):
            reason = "is missing" if given is None else f"has the shape {given.shape}"
            raise ValueError(f"pretrained weights do not fit: {weight.path} {reason}")
        weight.assign(source_weights[weight.path].pop(0))


def save_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Writes the weights of a model.

    Args:
        model: The model.
        path: The file, `.weights.h5`, in a folder that exists.

    Raises:
        OSError: If the disk has too little space. This is checked beforehand, as HDF5
            aborts the process on a full disk.
    """
    path = pathlib.Path(path)
    size = sum(4 * math.prod(weight.shape) for weight in model.weights)
    if shutil.disk_usage(path.parent).free < size + _HEADERS:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))
    model.save_weights(path)
