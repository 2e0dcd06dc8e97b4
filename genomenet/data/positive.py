"""Which of two classes is the positive one: that of F1, AUPRC, precision and recall."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

# Whole words, in any case, of a name that stands for what is not there.
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

    That which was asked for; else the one that is not called like a negative, as
    "non-binding", "not_enhancer", "control", "background", "random", "other", "false"
    or "0"; else, where the names do not tell, the last.

    Args:
        classes: Two names, in the order of the columns.
        wanted: The class that is asked for, if any.

    Returns:
        Its name.

    Raises:
        ValueError: If there are not two classes, or no such one.
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
    """Returns whether the names of two classes tell the positive one."""
    return _tells(classes) is not None


def _tells(classes: Sequence[str]) -> int | None:
    """Returns the index of the one class that is called like a negative, or None."""
    first, second = classes
    found = [_is_negative(first, second), _is_negative(second, first)]
    return found.index(True) if sum(found) == 1 else None


def _is_negative(name: str, other: str) -> bool:
    """Returns whether a name says what is not there, or negates the other."""
    if name.strip() in ("-", "-1"):
        return True
    words, others = _words(name), _words(other)
    words.append("".join(words))
    others.append("".join(others))
    negated = {prefix + word for prefix in _PREFIXES for word in others if word}
    return bool((_NEGATIVE | negated) & set(words))


def _words(name: str) -> list[str]:
    return _WORD.findall(name.casefold())
