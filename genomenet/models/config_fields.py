"""Reads, writes and checks the fields of configs (dataclasses of hyperparameters)."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Final

NEWER: Final = {"newer": True}
"""Metadata of a config field added after models were released.

The `config.json` of a released model may lack such a field, which then has its default:
`dataclasses.field(default=0.0, metadata=NEWER)`.
"""

MAX_PARAMETERS: Final = 10**9
"""Largest number of parameters: 4 GB of weights, 16 GB in training."""

_WORDS: Final = {
    int: ("an integer", "integers"),
    float: ("a finite number", "finite numbers"),
    bool: ("true or false", "true or false"),
    str: ("a string", "strings"),
}
_NONE: Final = dataclasses.MISSING


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
