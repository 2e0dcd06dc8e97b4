"""The interface of all model families, and helpers for their configs and weights."""

from __future__ import annotations

import collections
import dataclasses
import errno
import math
import os
import pathlib
import shutil
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from genomenet.dna import tiling

NEWER: Final = {"newer": True}
"""Metadata of a field that is missing in models made before it existed."""

MAX_PARAMETERS: Final = 10**9
"""Largest number of parameters: 4 GB of weights, 16 GB in training."""

_WORDS: Final = {
    int: ("an integer", "integers"),
    float: ("a finite number", "finite numbers"),
    bool: ("true or false", "true or false"),
    str: ("a string", "strings"),
}
_NONE: Final = dataclasses.MISSING
_HEADERS: Final = 1 << 20  # bytes of a weights file besides its weights, at most

# Concatenates a tensor (N, ...) over R replicas: (R·N, ...), and the index of the first
# row of this replica. Differentiable.
Gather = Callable[[Any], tuple[Any, Any]]


def keep_local(x: Any) -> tuple[Any, int]:
    """Returns `x` unchanged: the `Gather` of a single replica."""
    return x, 0


class LossOutput(NamedTuple):
    """Loss and metrics of one batch.

    Attributes:
        per_example: Loss of each row, float32, (B,), averaged over its targets.
        weight: Weight of each row, float32, (B,): its number of targets, or 1.
        metrics: Name → float32 scalar, a mean with the same weights; or, for a metric
            with its own weights, the scalar and its total weight in the batch.
    """

    per_example: Any
    weight: Any
    metrics: dict[str, Any]


class Resume(NamedTuple):
    """Functions that read mutants of a sequence without recomputing all of it.

    Attributes:
        keep: Model and a sequence, codes (1, L) → the states that mutants share with
            it.
        read_out: Model, result of `keep`, mutants (M, L), names as for
            `Family.read_out`, index of the first base in which each mutant differs and
            one past the last, (M,), ascending → the result of `Family.read_out`.
    """

    keep: Callable[[Any, Any], Any]
    read_out: Callable[[Any, Any, Any, Sequence[str], Any, Any], Sequence[Any]]


class Family(Protocol):
    """The functions and names of one package in `genomenet.models`.

    Attributes:
        Config: The frozen dataclass of hyperparameters. It has `length`, the bases of
            a training row, and `max_length`, the most bases that are read at once.
        POOLS: Ways to turn a sequence into vectors; the first is the default of
            `embed`, and "none" gives a vector for each of `spans`.
        READOUTS: Further vectors of a model that a classifier can read.
        BASES_AT_ONCE: Bases in a batch above which a CPU becomes slower per base.
        CLASSIFIER_POOL: Default pool of classifiers.
        CLASSIFIER_RATE: Peak learning rate of fine-tuning with batches of 32.
        attend: Model and batch → attention to each of `spans`, (B, P); None for a
            family without attention.
        predict_masked: Model, batch, which k-mers are masked and which are predicted →
            log-probabilities, as `models.bert.predict_masked`; None for a family
            without masked prediction.
        resume: Functions for reading mutants, if states depend only on the bases
            before them; else None.
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
    def resume(self) -> Resume | None: ...

    def from_dict(self, values: Mapping[str, Any]) -> Any:
        """Builds a config from JSON values; a ValueError names the invalid field."""
        ...

    def to_dict(self, config: Any) -> dict[str, Any]:
        """Returns the fields of a config as JSON values."""
        ...

    def build(self, config: Any, *, head: bool = True) -> Any:
        """Builds the model with random weights.

        Without `head` it has no layers that only the pretraining objective uses.
        """
        ...

    def with_dropout(self, config: Any, rate: float) -> Any:
        """Returns the config with another dropout rate."""
        ...

    def loss(
        self,
        model: Any,
        batch: Mapping[str, Any],
        *,
        training: bool,
        gather: Gather = keep_local,
    ) -> LossOutput:
        """Returns the pretraining loss, a pure function of weights and batch."""
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

    def derived(self, means: Mapping[str, float]) -> dict[str, float]:
        """Returns metrics computed from the mean loss and metrics."""
        ...

    def num_parameters(self, config: Any, *, head: bool = True) -> int:
        """Returns the number of parameters of `build(config, head=head)`."""
        ...

    def width(self, config: Any) -> int:
        """Returns the number of channels of an embedding."""
        ...

    def fewest_rows(self, config: Any, num_replicas: int = 1) -> int:
        """Returns the smallest batch size for the objective, over all devices."""
        ...

    def shortest(self, config: Any) -> int:
        """Returns the length, in bases, of the shortest sequence it can embed."""
        ...

    def reader(self, model: Any) -> Any:
        """Returns the layer whose `edit` receives the vectors of bases or tokens.

        `edit` is None, or a function of the vectors, float (B, …, C), and of their
        codes or token ids, (B, …); the model then reads its result instead.
        """
        ...

    def unread(self, model: Any, x: Any, codes: Any) -> tuple[Any, Any]:
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


def config_from_dict(cls: Any, values: Mapping[str, Any]) -> Any:
    """Builds a frozen config from JSON values.

    Args:
        cls: The dataclass.
        values: Field name → value; lists become tuples.

    Returns:
        An instance of `cls`.

    Raises:
        ValueError: If a key is unknown or missing, a value has the wrong type, or the
            class rejects it.
    """
    known = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(
            f"{cls.__name__} has no {', '.join(map(repr, unknown))}; it has"
            f" {', '.join(sorted(known))}"
        )
    needed = {f.name for f in dataclasses.fields(cls) if f.default is _NONE}
    if not needed <= set(values):
        raise ValueError(
            f"{', '.join(map(repr, sorted(needed - set(values))))} is missing"
        )
    check_types(cls, values)
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def config_to_dict(config: Any) -> dict[str, Any]:
    """Returns the JSON values of a config: tuples become lists."""
    values = dataclasses.asdict(config)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def check_types(cls: Any, values: Mapping[str, Any]) -> None:
    """Checks values against the types of a dataclass's fields.

    Args:
        cls: The dataclass; its fields are int, float, bool, str, tuples of one of
            them, or one of them or None.
        values: Field name → JSON value. Neither true nor 2.0 is an integer, and a list
            stands for a tuple.

    Raises:
        ValueError: For the first value that has another type or is not finite.
    """
    hints = typing.get_type_hints(cls)
    for name, value in values.items():
        hint = hints[name]
        options = (
            typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        )
        if not any(_is_a(value, option) for option in options):
            words = " or ".join(map(_name_type, options))
            text = repr(value)
            text = text if len(text) <= 60 else f"{text[:57]}…"
            raise ValueError(f"{name} must be {words}, got {text}")


def check_complete(cls: Any, values: Mapping[str, Any]) -> None:
    """Checks that the config of a trained model has all fields.

    A missing field would silently get a default and give other results. A field that
    is empty by default, or marked as `NEWER`, may be missing, as in models made before
    it existed.

    Args:
        cls: The dataclass.
        values: Field name → value.

    Raises:
        ValueError: If a field is missing.
    """
    missing = [
        field.name
        for field in dataclasses.fields(cls)
        if field.name not in values
        and field.default not in (None, "", ())
        and field.metadata != NEWER
    ]
    if missing:
        raise ValueError(
            f"{', '.join(map(repr, missing))} is missing, which the config of a"
            " trained model must have"
        )


def check_size(num_parameters: int) -> None:
    """Rejects a model that is too large, before it is built.

    Args:
        num_parameters: Its number of parameters.

    Raises:
        ValueError: If there are more than `MAX_PARAMETERS`.
    """
    if num_parameters > MAX_PARAMETERS:
        raise ValueError(
            f"a model of {num_parameters:,} parameters is too large: at most"
            f" {MAX_PARAMETERS:,} are allowed"
        )


def _is_a(value: Any, hint: Any) -> bool:
    """Returns whether a JSON value has a type."""
    if isinstance(hint, types.UnionType):
        return any(_is_a(value, option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        is_list = isinstance(value, list | tuple)
        return is_list and all(_is_a(v, typing.get_args(hint)[0]) for v in value)
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and math.isfinite(value)
    if hint is int:
        is_int = isinstance(value, int) and not isinstance(value, bool)
        return is_int and abs(value) < 1 << 63
    return isinstance(value, hint)


def _name_type(hint: Any) -> str:
    if typing.get_origin(hint) is tuple:
        return f"a list of {_WORDS[typing.get_args(hint)[0]][1]}"
    return "null" if hint is types.NoneType else _WORDS[hint][0]


def begin(family: Any, config: Any, source: Any = None) -> Any:
    """Builds a model with initial weights.

    Args:
        family: The family.
        config: Config of the family.
        source: A model with the initial weights; random weights if None.

    Returns:
        The model.

    Raises:
        ValueError: If the weights do not fit.
    """
    model = family.build(config)
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
