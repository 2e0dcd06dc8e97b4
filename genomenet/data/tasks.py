"""Infers tasks from labels and assigns labelled sequences to splits."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from genomenet import task_kinds
from genomenet.data import positive, sources, tables
from genomenet.dna import encode

AUTO: Final = "auto"
TASKS: Final = (AUTO, *task_kinds.KINDS)

_SHOWN: Final = 10  # classes named in an error
_LARGEST: Final = float(np.finfo(np.float32).max)
# Whole numbers as people and spreadsheets write them; 007 is a name.
_WHOLE: Final = re.compile(r"([+-]?)(0|[1-9][0-9]*)(\.0*)?")
# Amounts that Python does not read: 0,52 and 12.5 % and 1,049 and 1'049.5 and 1 049.
_AMOUNT: Final = re.compile(
    r"[-+−]?([0-9]+|[0-9]{1,3}([.,'’ \u00a0\u202f][0-9]{3})+)([.,][0-9]+)?\s*[%‰]?"
)
_APART: Final = re.compile(r"[;,|/:_\s]+")  # separators of the numbers in a vector
_WRAPPED: Final = re.compile(r"(?:\w+\()?[\[({]*(.*?)[\])}]*")
_LIST: Final = re.compile(r"[\[{(].*[\]})]")
_BITS: Final = re.compile(r"[01]{2,}")
_DIGITS: Final = {"true": "1", "false": "0"}
_SAME: Final = re.compile(r"[\s_-]+")  # characters in which spellings may differ
_FEW: Final = 10  # rows below which each class may have a single row


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What labels stand for: a kind of task and its classes.

    Attributes:
        kind: One of `TASKS`, but not "auto".
        classes: Names of the classes in the order of their indices; empty for
            regression.
        positive: The class of a binary task to which F1, AUPRC, precision and recall
            refer; by default that of `data.positive.choose`. Empty for other tasks.

    Raises:
        ValueError: If `positive` is given and is not one of two classes.
    """

    kind: str
    classes: tuple[str, ...] = ()
    positive: str = ""

    def __post_init__(self) -> None:
        if self.kind == task_kinds.BINARY and len(self.classes) == 2:
            chosen = positive.choose(self.classes, self.positive)
            object.__setattr__(self, "positive", chosen)
        elif self.positive:
            raise ValueError(
                f"positive={self.positive} is for two classes, not for a {self.kind}"
                f" task with {len(self.classes)}"
            )

    @property
    def positive_number(self) -> int:
        """Index of the positive class."""
        return self.classes.index(self.positive)

    def encode(self, row: tables.Row) -> Any:
        """Encodes the label of a row.

        Args:
            row: A labelled sequence.

        Returns:
            Index of the class; uint8 (classes,) for multi-label tasks; a float32 for
            regression.

        Raises:
            DatasetError: If the label is not one of the classes, or not a number.
        """
        if self.kind == task_kinds.REGRESSION:
            value = _number(row.label)
            if value is None or abs(value) > _LARGEST:
                cause = "is not a number" if value is None else "is too large"
                raise sources.DatasetError(f"{row.place}: label {row.label!r} {cause}")
            return np.float32(value)
        if self.kind == task_kinds.MULTI_LABEL:
            encoded = np.zeros(len(self.classes), np.uint8)
            encoded[[self._index(name, row) for name in _parts(row.label)]] = 1
            return encoded
        return self._index(class_name(row.label), row)

    def _index(self, name: str, row: tables.Row) -> int:
        """Returns the index of a class."""
        if name not in self.classes:
            listed = ", ".join(self.classes[:_SHOWN])
            listed += ", …" * (len(self.classes) > _SHOWN)
            if all(_number(label) is not None for label in (name, *self.classes)):
                listed += "; if labels are amounts, give task=regression"
            raise sources.DatasetError(
                f"{row.place}: label {name!r} is none of {listed}"
            )
        return self.classes.index(name)


def resolve(kind: str, labels: Iterable[str], *, shown: str) -> Task:
    """Infers the task and the classes of a set of labels.

    "auto" is multi-label if a label holds a semicolon, regression if most labels are
    numbers and one has a fraction (a label that is not a number is then an error of its
    row), and classes otherwise. Classes are sorted, numbers by value.

    Labels that are likely to mean something else are refused: two spellings of one
    name, vectors of numbers, amounts that are not written with a decimal point, and,
    unless the task is "multiclass", classes most of which have a single row.

    Args:
        kind: One of `TASKS`.
        labels: The label of every row.
        shown: The source, for messages.

    Returns:
        The task.

    Raises:
        DatasetError: If the labels do not fit the task.
    """
    rows = collections.Counter(labels)
    labels = set(rows)
    if kind != task_kinds.REGRESSION:
        _check_amounts(labels, shown)
        _check_vectors(labels, shown)
    numbers = [n for n in map(_number, labels) if n is not None]
    is_auto = kind == AUTO
    if is_auto:
        if any(tables.SEPARATOR in label for label in labels):
            kind = task_kinds.MULTI_LABEL
        elif 2 * len(numbers) > len(labels) and not all(
            number.is_integer() for number in numbers
        ):
            kind = task_kinds.REGRESSION
        else:
            kind = (
                task_kinds.BINARY
                if len(set(map(class_name, labels))) == 2
                else task_kinds.MULTICLASS
            )
    if kind == task_kinds.REGRESSION:
        if len(labels) == 1:
            raise sources.DatasetError(f"{shown}: all labels are {labels.pop()}")
        return Task(kind=kind)
    if kind == task_kinds.MULTI_LABEL:
        names = {part for label in labels for part in _parts(label)}
        if len(names) > 1 and len({frozenset(_parts(label)) for label in labels}) == 1:
            raise sources.DatasetError(
                f"{shown}: all rows have the same labels, {', '.join(sorted(names))};"
                " at least one row must differ"
            )
    else:
        names = set(map(class_name, labels))
        if is_auto:
            _check_repeated(rows, names, shown)
    _check_spellings(names, shown)
    if len(names) < 2:
        raise sources.DatasetError(
            f"{shown}: one class only, {', '.join(names) or 'without a name'}; "
            "at least two are needed"
        )
    if kind == task_kinds.BINARY and len(names) != 2:
        raise sources.DatasetError(
            f"{shown}: {len(names)} classes, but task=binary takes 2"
        )
    return Task(kind=kind, classes=tuple(sorted(names, key=_order)))


def _check_amounts(labels: set[str], shown: str) -> None:
    """Refuses labels most of which are numbers that cannot be read."""
    odd = sorted(x for x in labels if _AMOUNT.fullmatch(x) and _number(x) is None)
    if 2 * len(odd) > len(labels):
        raise sources.DatasetError(
            f"{shown}: labels such as {odd[0]!r}: if they are amounts, write a decimal"
            " point, without %, units and signs between thousands; if they are names,"
            " with a letter; if they are several, with ; between them"
        )


def _check_vectors(labels: set[str], shown: str) -> None:
    """Refuses labels that are vectors of numbers over several targets."""
    vectors = {x: _APART.split(_bare(x)) for x in labels if x}
    sizes = {len(parts) for parts in vectors.values()}
    if sizes == {1}:  # 010 and 110
        sizes = {len(x) for x in vectors}
        is_vector = len(sizes) == 1 and all(map(_BITS.fullmatch, vectors))
        is_vector &= any(x.startswith("0") for x in vectors)
    else:
        rows = [list(map(_value, parts)) for parts in vectors.values()]
        values = [value for row in rows for value in row]
        repeats = any(len(set(row)) < len(row) for row in rows)
        # Whole numbers with ; between them are names of classes, unless one occurs
        # twice; 0 1 and 1 0 alone are two classes.
        is_list = all(tables.SEPARATOR in x for x in vectors)
        is_whole = all(x is not None and x.is_integer() for x in values)
        is_bits = {x for x in values if x is not None} <= {0.0, 1.0}
        is_vector = len(sizes) == 1 and None not in values
        is_vector &= repeats or not is_whole or not (is_list or is_bits)
    lists = [x for x in labels if _LIST.fullmatch(x)]
    if 2 * len(lists) > len(labels) and not is_vector:
        raise sources.DatasetError(
            f"{shown}: labels such as {min(lists)!r}: write names with ; between them"
        )
    if vectors and is_vector:
        example = min(vectors)
        raise sources.DatasetError(
            f"{shown}: labels such as {example!r} are vectors over {sizes.pop()}"
            " targets: write the names of the classes that a row has, with ; between"
            " them, or take one target at a time"
        )


def _bare(label: str) -> str:
    """Returns a label without the brackets and names that surround a vector."""
    match = _WRAPPED.fullmatch(label.strip())
    return (match[1] if match else label).strip().rstrip(".,;")


def _value(part: str) -> float | None:
    """Reads a number, or true and false as 1 and 0."""
    return _number(_DIGITS.get(part.casefold(), part))


def _check_repeated(
    rows: collections.Counter[str], names: set[str], shown: str
) -> None:
    """Refuses classes most of which have a single row: they are names or amounts."""
    single = sum(count == 1 for count in rows.values())
    if rows.total() < _FEW or 2 * single <= rows.total():
        return
    is_number = all(_number(name) is not None for name in names)
    advice = "task=regression if they are amounts, else " if is_number else ""
    raise sources.DatasetError(
        f"{shown}: {len(rows):,} different labels in {rows.total():,} rows, such as"
        f" {min(rows)!r}: these are not classes; give {advice}a column of classes, or"
        " task=multiclass if they are"
    )


def _check_spellings(names: set[str], shown: str) -> None:
    """Refuses two classes whose names differ in spelling only."""
    known: dict[str, str] = {}
    for name in sorted(names):
        key = _SAME.sub("_", unicodedata.normalize("NFKC", name).casefold())
        key = _DIGITS.get(key, key)
        other = known.setdefault(key, name)
        if other != name and (len(key) > 1 or key in "01"):
            raise sources.DatasetError(
                f"{shown}: the labels {other!r} and {name!r} differ in spelling only:"
                " write one of them"
            )


@dataclasses.dataclass(kw_only=True)
class Survey:
    """The labels, splits and digests of all rows; 16 bytes per sequence.

    Attributes:
        groups: Digest of the canonical sequence of each row.
        labels: Label of each row.
        splits: Split of each row, empty if the source does not give it.
        bases: Number of bases of all rows.
    """

    groups: list[bytes] = dataclasses.field(default_factory=list)
    labels: list[str] = dataclasses.field(default_factory=list)
    splits: list[str] = dataclasses.field(default_factory=list)
    bases: int = 0

    def add(self, row: tables.Row, split: str) -> None:
        """Adds a row."""
        self.groups.append(group(row.sequence))
        self.labels.append(row.label)
        self.splits.append(split)
        self.bases += len(row.sequence)


def group(sequence: bytes) -> bytes:
    """Returns the digest of the canonical sequence.

    N at the ends are ignored: they are padding, or were not trimmed.
    """
    sequence = sequence.strip(b"N")
    other = encode.decode(encode.reverse_complement(encode.encode(sequence)))
    return hashlib.blake2b(min(sequence, other), digest_size=16).digest()


def assign(
    survey: Survey,
    task: Task,
    shares: Mapping[str, float],
    *,
    seed: int,
    shown: str,
) -> list[str]:
    """Assigns every row to a split.

    Splits of the source are kept. Else rows are assigned by a seeded hash, class by
    class, so that each split has its share of every class to within one row. Rows with
    the same canonical sequence stay together, and no split is empty.

    Args:
        survey: Labels, splits and digests of the rows.
        task: Task of the labels.
        shares: Share of each split.
        seed: Seed of the hash.
        shown: The source, for messages.

    Returns:
        Name of the split of each row.

    Raises:
        DatasetError: If there are fewer different sequences than splits, or only
            some rows have a split.
    """
    if all(survey.splits):
        return survey.splits
    if any(survey.splits):
        raise sources.DatasetError(f"{shown}: some rows have a split and some have not")
    rows: dict[bytes, list[int]] = collections.defaultdict(list)
    for index, key in enumerate(survey.groups):
        rows[key].append(index)
    if len(rows) < len(shares):
        advice = "100" if len(rows) == 1 else "90/10"
        raise sources.DatasetError(
            f"{shown}: {len(rows)} different sequences are too few for {len(shares)} "
            f"splits; use splits={advice}"
        )

    def order(key: bytes) -> tuple[str, bytes]:
        label = survey.labels[rows[key][0]]
        stratum = (
            label if task.kind in (task_kinds.BINARY, task_kinds.MULTICLASS) else ""
        )
        digest = hashlib.blake2b(key, digest_size=16, key=str(seed).encode()).digest()
        return stratum, digest

    by_split: dict[str, list[bytes]] = {split: [] for split in shares}
    counts = dict.fromkeys(shares, 0)
    total, whole = 0, sum(shares.values())
    for key in sorted(rows, key=order):
        total += len(rows[key])
        split = max(shares, key=lambda s: shares[s] / whole * total - counts[s])
        by_split[split].append(key)
        counts[split] += len(rows[key])
    for split in shares:
        if not by_split[split]:
            largest = max(by_split, key=lambda s: len(by_split[s]))
            by_split[split].append(by_split[largest].pop())
    assigned = [""] * len(survey.groups)
    for split, keys in by_split.items():
        for index in (index for key in keys for index in rows[key]):
            assigned[index] = split
    return assigned


def repeats(survey: Survey, splits: Sequence[str]) -> dict[str, int]:
    """Counts canonical sequences that occur more than once.

    Args:
        survey: Labels, splits and digests of the rows.
        splits: Split of each row.

    Returns:
        The number of rows whose sequence occurs before, of sequences with more than one
        label, and of sequences in more than one split.
    """
    labels: dict[bytes, set[str]] = collections.defaultdict(set)
    splits_of: dict[bytes, set[str]] = collections.defaultdict(set)
    rows = zip(survey.groups, survey.labels, splits, strict=True)
    for key, label, split in rows:
        labels[key].add(label)
        splits_of[key].add(split)
    return {
        "repeated_rows": len(survey.groups) - len(labels),
        "with_several_labels": sum(len(values) > 1 for values in labels.values()),
        "in_several_splits": sum(len(values) > 1 for values in splits_of.values()),
    }


def class_name(label: str) -> str:
    """Returns the name of the class that a label stands for.

    Args:
        label: The label as it was written.

    Returns:
        The same text, but whole numbers without a fraction: 1.0 becomes 1.
    """
    match = _WHOLE.fullmatch(label)
    return str(int(match[1] + match[2])) if match else label


def _parts(label: str) -> list[str]:
    """Returns the classes of a multi-label label."""
    parts = [class_name(part.strip()) for part in label.split(tables.SEPARATOR)]
    return [part for part in parts if part]


def _number(label: str) -> float | None:
    """Reads a finite number, or returns None."""
    try:
        value = float(label)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in label else None


def _order(name: str) -> tuple[bool, float, str]:
    """Sorts numbers by value, before other names."""
    value = _number(name)
    return value is None, value or 0.0, name
