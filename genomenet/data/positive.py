"""Chooses the positive of two classes, for F1, AUPRC, precision and recall."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

# Words in the name of a class that mark it as the negative one, in any case.
_NEGATIVE: Final = frozenset(
    (
        *("0", "non", "not", "no", "neg", "negative", "negatives", "without"),
        *("false", "absent", "absence", "off", "none", "nothing", "neither", "other"),
        *("others", "rest", "control", "controls", "ctrl", "background", "backgrounds"),
        *("bg", "random", "rand", "shuffled", "scrambled", "decoy", "decoys", "dummy"),
        *("genomic", "null", "inactive", "unbound"),
    )
)
_PREFIXES: Final = ("non", "not", "no", "un", "in", "im", "dis", "anti", "de")
_WORD: Final = re.compile(r"[^\W_]+")


def choose(classes: Sequence[str], wanted: str = "") -> str:
    """Returns the positive class of two.

    This is the requested class; else the one whose name is not that of a negative,
    such as "non-binding", "not_enhancer", "control", "background", "random", "other",
    "false" or "0"; else, if the names do not tell, the last.

    Args:
        classes: Two names, in the order of the columns.
        wanted: The requested class, if any.

    Returns:
        Its name.

    Raises:
        ValueError: If there are not two classes, or `wanted` is none of them.
    """
    if wanted and wanted not in classes:
        raise ValueError(
            f"positive={wanted} is none of the classes {', '.join(classes) or '(none)'}"
        )
    if len(classes) != 2:
        raise ValueError(f"one positive class needs two classes, not {len(classes)}")
    if wanted:
        return wanted
    return classes[0] if _tells(classes) == 1 else classes[1]


def is_told(classes: Sequence[str]) -> bool:
    """Returns whether the names of two classes tell which one is positive."""
    return _tells(classes) is not None


def _tells(classes: Sequence[str]) -> int | None:
    """Returns the index of the only class with the name of a negative, or None."""
    first, second = classes
    are_negative = [_is_negative(first, second), _is_negative(second, first)]
    return are_negative.index(True) if sum(are_negative) == 1 else None


def _is_negative(name: str, other: str) -> bool:
    """Returns whether a name is that of a negative, or negates the other name."""
    if name.strip() in ("-", "-1"):
        return True
    words, others = _words(name), _words(other)
    words.append("".join(words))
    others.append("".join(others))
    negated = {prefix + word for prefix in _PREFIXES for word in others if word}
    return bool((_NEGATIVE | negated) & set(words))


def _words(name: str) -> list[str]:
    return _WORD.findall(name.casefold())
