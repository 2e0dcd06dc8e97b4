"""What every family of models provides, so that training need not know which."""

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
"""Metadata of a field that models lack which were made before there was one."""

MAX_PARAMETERS: Final = 10**9
"""Of a model: 4 GB of weights, 16 GB in training."""

_WORDS: Final = {
    int: ("an integer", "integers"),
    float: ("a finite number", "finite numbers"),
    bool: ("true or false", "true or false"),
    str: ("a string", "strings"),
}
_NONE: Final = dataclasses.MISSING
_HEADERS: Final = 1 << 20  # bytes, more than a file of weights has beside them

# Concatenates a tensor (N, ...) over R replicas: (R·N, ...), and the row where this
# replica's own rows begin. Differentiable.
Gather = Callable[[Any], tuple[Any, Any]]


def keep_local(x: Any) -> tuple[Any, int]:
    """Returns `x` as it is: the `Gather` of a single replica."""
    return x, 0


class LossOutput(NamedTuple):
    """What a family's objective says of one batch.

    Attributes:
        per_example: Loss of each row, float32, (B,), a mean over its targets.
        weight: Weight of each row, float32, (B,): its number of targets, or 1.
        metrics: Name → float32 scalar, a mean with the same weights; or the scalar and
            the weight of the whole batch in a mean with weights of its own.
    """

    per_example: Any
    weight: Any
    metrics: dict[str, Any]


class Resume(NamedTuple):
    """How a family reads mutants of a sequence without reading all of it again.

    Attributes:
        keep: Model and a sequence, codes (1, L) → what its mutants share with it.
        read_out: Model, what was kept, mutants (M, L), names as for
            `Family.read_out`, the first base in which each differs and one past its
            last, (M,), ascending → what `Family.read_out` returns for them.
    """

    keep: Callable[[Any, Any], Any]
    read_out: Callable[[Any, Any, Any, Sequence[str], Any, Any], Sequence[Any]]


class Family(Protocol):
    """The functions and names of one package in `genomenet.models`.

    Attributes:
        Config: The frozen dataclass of hyperparameters. It has `length`, the bases of
            a training row, and `max_length`, the most bases that are read at once.
        POOLS: How a sequence becomes vectors; the first is the default of `embed`,
            and "none" gives a vector for each of `spans`.
        READOUTS: What a classifier can read of a model, beside the pools.
        BASES_AT_ONCE: Bases of a batch above which a CPU reads them more slowly.
        CLASSIFIER_POOL: The pool of classifiers.
        CLASSIFIER_RATE: Peak learning rate of fine-tuning, in batches of 32.
        attend: Model and batch → how much a prediction looks at each of `spans`,
            (B, P); None for a family without attention.
        predict_masked: Model, batch, which k-mers are masked and which are predicted →
            log-probabilities, as `models.bert.predict_masked`; None for a family that
            predicts none.
        resume: How mutants are read where states depend on the bases before them
            only; None where all depend on all.
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
        """Returns the config of JSON values; raises a ValueError that names a field."""
        ...

    def to_dict(self, config: Any) -> dict[str, Any]:
        """Returns the fields of a config as JSON values."""
        ...

    def build(self, config: Any, *, head: bool = True) -> Any:
        """Returns the model with fresh weights, every one of them built.

        Without `head` it lacks what only the pretraining objective uses.
        """
        ...

    def with_dropout(self, config: Any, rate: float) -> Any:
        """Returns the config with this share of channels dropped in training."""
        ...

    def loss(
        self,
        model: Any,
        batch: Mapping[str, Any],
        *,
        training: bool,
        gather: Gather = keep_local,
    ) -> LossOutput:
        """Returns the pretraining loss: pure in the weights and the batch."""
        ...

    def embed(
        self, model: Any, batch: Mapping[str, Any], pool: str, *, training: bool = False
    ) -> Any:
        """Returns one vector a row, or one a patch or token for pool "none"."""
        ...

    def read_out(
        self,
        model: Any,
        batch: Mapping[str, Any],
        names: Sequence[str],
        *,
        training: bool = False,
    ) -> Sequence[Any]:
        """Returns what `embed` returns for each of some pools and `READOUTS`.

        A readout whose name ends in "bins" has `layers.readout.NUM_BINS` vectors.
        """
        ...

    def window(self, config: Any) -> tiling.Window:
        """Returns how training sequences are cut."""
        ...

    def trivial_baseline(
        self,
        model: Any,
        seen: Sequence[Mapping[str, Any]],
        held_out: Sequence[Mapping[str, Any]],
    ) -> dict[str, float]:
        """Returns "loss" and "accuracy" of guessing, having seen some batches."""
        ...

    def derived(self, means: Mapping[str, float]) -> dict[str, float]:
        """Returns metrics that follow from the mean loss and metrics."""
        ...

    def num_parameters(self, config: Any, *, head: bool = True) -> int:
        """Returns the numbers in all weights of `build(config, head=head)`."""
        ...

    def width(self, config: Any) -> int:
        """Returns the channels of an embedding."""
        ...

    def fewest_rows(self, config: Any, num_replicas: int = 1) -> int:
        """Returns the rows of the smallest batch that the objective makes sense of.

        Of several devices the rows of all.
        """
        ...

    def shortest(self, config: Any) -> int:
        """Returns the bases of the shortest sequence that can be embedded."""
        ...

    def reader(self, model: Any) -> Any:
        """Returns the layer whose `edit` meets bases or tokens as numbers.

        `edit` is None, or a function of the numbers, float (B, …, C), and of the codes
        or token ids that they stand for, (B, …); what it returns is read instead.
        """
        ...

    def unread(self, model: Any, x: Any, codes: Any) -> tuple[Any, Any]:
        """Returns what the model reads where it does not know the bases.

        Args:
            model: The model.
            x: What `reader(model).edit` meets.
            codes: The same.

        Returns:
            What stands for no base in particular, of the shape of `x`; and where `x`
            stands for bases, bool, of the shape of `codes`: not at N, padding or
            special tokens.
        """
        ...

    def on_spans(self, scores: Any) -> Any:
        """Returns scores of what `edit` meets by `spans`.

        Args:
            scores: Float, of the shape of its `codes`.

        Returns:
            Float, (B, P, K), of the bases of each span, or (B, P, 1).
        """
        ...

    def spans(self, config: Any, length: int) -> Sequence[tuple[int, int]]:
        """Returns the interval of bases behind each vector of pool "none"."""
        ...


def config_from_dict(cls: Any, values: Mapping[str, Any]) -> Any:
    """Builds a frozen config from JSON values.

    Args:
        cls: The dataclass.
        values: Field name → value; lists become tuples.

    Returns:
        An instance of `cls`.

    Raises:
        ValueError: If a key is not a field, a value is not of the field's type, or
            the class refuses it.
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
    """Refuses values that are not of the types that a dataclass names.

    Args:
        cls: The dataclass; its fields are int, float, bool, str, tuples of one of
            them, or one of them or None.
        values: Field name → value, as JSON has it: true is no integer, 2.0 neither,
            and a list stands for a tuple.

    Raises:
        ValueError: Of the first value that is of another type, or not finite.
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
    """Refuses the config of a trained model in which a field is missing.

    A default would take its place: other numbers, and no word about it. A field
    that is empty by default, or marked as `NEWER`, may be missing: models were made
    before there was one.

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
    """Refuses a model that is too large, before anything of it is made.

    Args:
        num_parameters: Numbers in all its weights.

    Raises:
        ValueError: If there are more than `MAX_PARAMETERS`.
    """
    if num_parameters > MAX_PARAMETERS:
        raise ValueError(
            f"a model of {num_parameters:,} parameters is too large: there may be"
            f" {MAX_PARAMETERS:,}"
        )


def _is_a(value: Any, hint: Any) -> bool:
    """Returns whether a value of JSON is of a type."""
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


def begin(members: Any, config: Any, source: Any = None) -> Any:
    """Builds a model to be trained.

    Args:
        members: Its family.
        config: Of the family.
        source: A model whose weights it begins with; fresh ones if None.

    Returns:
        The model.

    Raises:
        ValueError: If the weights do not fit.
    """
    model = members.build(config)
    if source is not None:
        transfer(source, model)
    return model


def transfer(source: Any, target: Any) -> None:
    """Copies the weights of one model that another has by the same paths.

    Args:
        source: A pretrained model, its encoder, or a classifier.
        target: What is to have its weights: a model, an encoder, or a classifier.

    Raises:
        ValueError: If a weight is missing in the source, or has another shape.
    """
    found = collections.defaultdict(list)  # of several encoders in their order
    for weight in source.weights:
        found[weight.path].append(weight)
    for weight in target.weights:
        given = next(iter(found[weight.path]), None)
        if given is None or tuple(given.shape) != tuple(weight.shape):
            reason = "is missing" if given is None else f"has the shape {given.shape}"
            raise ValueError(f"pretrained weights do not fit: {weight.path} {reason}")
        weight.assign(found[weight.path].pop(0))


def save_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Writes the weights of a model.

    Args:
        model: The model.
        path: The file, `.weights.h5`, in a folder that exists.

    Raises:
        OSError: If the disk has no room for it. That is seen before, since HDF5 tears
            the process down when it finds the disk full.
    """
    path = pathlib.Path(path)
    size = sum(4 * math.prod(weight.shape) for weight in model.weights)
    if shutil.disk_usage(path.parent).free < size + _HEADERS:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))
    model.save_weights(path)
