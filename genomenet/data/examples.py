"""Labelled sequences in memory, for fine-tuning and evaluation."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genomenet import task_kinds
from genomenet.data import integrity, sources, tables, tasks
from genomenet.dna import alphabet, encode

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """Labelled sequences of any lengths.

    Attributes:
        codes: Codes of `dna.alphabet`, uint8, all sequences concatenated.
        offsets: int64, (N + 1,): sequence n is `codes[offsets[n]:offsets[n + 1]]`.
        labels: As `tasks.Task.encode` returns them: int (N,), uint8 (N, classes) or
            float32 (N,).
        ids: Names of the N sequences.
    """

    codes: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[Any]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Examples({len(self):,} sequences of {_range(self.lengths)} bases)"

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        """Returns the codes of one sequence."""
        return self.codes[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Bases of each sequence, (N,)."""
        return np.diff(self.offsets)

    def take(self, rows: npt.ArrayLike) -> Examples:
        """Returns some of the sequences.

        Args:
            rows: Indices of the sequences, in the order of the result.

        Returns:
            The examples.
        """
        rows = np.asarray(rows, np.int64)
        parts = [self[row] for row in rows]
        return _joined(parts, self.labels[rows], [self.ids[row] for row in rows])

    def padded(self, length: int | None = None) -> npt.NDArray[np.uint8]:
        """Returns all sequences as rows, padded on the right: uint8, (N, L).

        Args:
            length: L; that of the longest sequence by default.
        """
        return encode.pad(
            [self[row] for row in range(len(self))],
            length or int(self.lengths.max(initial=1)),
        )

    def groups(self) -> list[bytes]:
        """Returns the digest of the canonical sequence of each sequence."""
        letters = alphabet.LETTERS[self.codes].tobytes()
        ends = self.offsets.tolist()
        return [tasks.group(letters[a:b]) for a, b in itertools.pairwise(ends)]

    def digest(self) -> str:
        """Returns a checksum of sequences and labels, in their order."""
        checksum = hashlib.sha256()
        for part in (self.codes, self.offsets, np.ascontiguousarray(self.labels)):
            checksum.update(part.tobytes())
        return checksum.hexdigest()[:16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """A task with its splits.

    Attributes:
        name: Name of the dataset, or of the table.
        task: Task of the labels.
        splits: "train", and if present "validation" and "test".
    """

    name: str
    task: tasks.Task
    splits: Mapping[str, Examples]

    def __getitem__(self, split: str) -> Examples:
        return self.splits[split]

    def __repr__(self) -> str:
        kinds = f" of {len(self.task.classes)} classes" if self.task.classes else ""
        sizes = ", ".join(f"{len(part):,} {name}" for name, part in self.splits.items())
        lengths = np.concatenate([part.lengths for part in self.splits.values()])
        kind = f"{self.name}: {self.task.kind}{kinds}"
        return f"{kind}; {sizes} sequences of {_range(lengths)} bases"

    def get(self, split: str) -> Examples | None:
        """Returns a split, or None."""
        return self.splits.get(split)

    def with_positive(self, name: str | None) -> Data:
        """Returns the data with another of two classes as the positive one.

        Raises:
            ValueError: If there are not two classes, or `name` is not one of them.
        """
        if not name:
            return self
        return dataclasses.replace(
            self, task=dataclasses.replace(self.task, positive=name)
        )

    def with_train(self, train: Examples) -> Data:
        """Returns the data with other training examples."""
        return dataclasses.replace(self, splits={**self.splits, TRAIN: train})


def read_prepared(directory: str | os.PathLike[str], *, train: str = TRAIN) -> Data:
    """Reads a prepared dataset of labelled sequences.

    Args:
        directory: Folder of the dataset, as `data.building.find` returns it.
        train: Name of the training split.

    Returns:
        The task and its splits.

    Raises:
        DatasetError: If the folder holds no labelled sequences, lacks the split, or a
            file has changed since it was built.
    """
    import tensorflow_datasets as tfds  # slow to import

    builder = integrity.opened(directory)
    features: Any = builder.info.features
    if set(features) != {"sequence", "label", "id"}:
        raise sources.DatasetError(
            f"{directory} is not a dataset of labelled sequences: it has the features"
            f" {', '.join(features)}"
        )
    task = _task(features["label"], builder.info.metadata)
    names = {TRAIN: train, VALIDATION: VALIDATION, TEST: TEST}
    with integrity.reading(directory):
        splits = {
            split: _examples(tfds.as_numpy(builder.as_dataset(split=name)), task)
            for split, name in names.items()
            if name in builder.info.splits and builder.info.splits[name].num_examples
        }
    if TRAIN not in splits:
        raise sources.DatasetError(
            f"{directory} has no split {train!r}; it has"
            f" {', '.join(builder.info.splits)}"
        )
    return Data(name=builder.info.name, task=task, splits=splits)


def read_tables(
    paths: Mapping[str, str],
    *,
    task: str = tasks.AUTO,
    splits: str = "80/10/10",
    seed: int = 0,
) -> Data:
    """Reads one table per split, or one table that is divided into splits.

    Args:
        paths: "train", and optionally "validation" and "test" → a table (see
            `data.tables`). Sequences may be written as overlapping k-mers, separated
            by blanks. If only "train" is given, its column `split` assigns the rows
            to splits; without that column they are divided by `splits`.
        task: One of `tasks.TASKS`; "auto" infers it from the labels.
        splits: Percentages of train, validation and test.
        seed: Seed of the division.

    Returns:
        The task and its splits. Classes are those of the training rows, or of all
        rows if one table is divided by `splits`.

    Raises:
        DatasetError: If a table is not usable, or a label is not one of the classes.
    """
    may_lack = task in (tasks.AUTO, task_kinds.MULTI_LABEL)
    rows = {
        split: list(
            tables.read_tables(
                [path], may_lack_label=may_lack, kmer=tables.kmer_length(path)
            )
        )
        for split, path in paths.items()
    }
    for split, split_rows in rows.items():
        if not split_rows:
            raise sources.DatasetError(f"{paths[split]}: no rows")
    if task == tasks.AUTO:
        _check_empty(itertools.chain(*rows.values()))
    if len(rows) > 1:
        _check_splits(rows)
    else:
        rows = _divided(rows[TRAIN], paths[TRAIN], task, splits, seed)
    labelled = rows[TRAIN]
    if not any(row.split for row in labelled) and len(paths) == 1:
        labelled = itertools.chain(*rows.values())  # a rare class may be in any split
    resolved = tasks.resolve(task, [row.label for row in labelled], shown=paths[TRAIN])
    return Data(
        name=os.path.basename(paths[TRAIN]),
        task=resolved,
        splits={split: _from_rows(part, resolved) for split, part in rows.items()},
    )


def draw_shots(
    examples: Examples, task: tasks.Task, shots: int, *, seed: int
) -> Examples:
    """Draws the same number of examples from each class.

    Args:
        examples: Examples to draw from.
        task: A task with classes that exclude each other.
        shots: Number of examples of each class.
        seed: Seed of the draw.

    Returns:
        The drawn examples, in their original order.

    Raises:
        DatasetError: If the task has no classes that exclude each other, or a class
            has too few examples.
    """
    _need_classes(task, "shots")
    rng = np.random.default_rng(seed)
    rows = []
    for index, name in enumerate(task.classes):
        of_class = np.flatnonzero(examples.labels == index)
        if len(of_class) < shots:
            raise sources.DatasetError(
                f"class {name!r} has {len(of_class)} training examples, fewer than"
                f" shots={shots}"
            )
        rows.append(rng.permutation(of_class)[:shots])
    return examples.take(np.sort(np.concatenate(rows)))


def draw_fraction(
    examples: Examples, task: tasks.Task, fraction: float, *, seed: int
) -> Examples:
    """Draws a fraction of the examples, the same fraction of each class.

    Args:
        examples: Examples to draw from.
        task: Task of the labels.
        fraction: Fraction drawn, above 0 and at most 1; at least one example of each
            class is drawn.
        seed: Seed of the draw. With the same seed, a smaller fraction is a subset of a
            larger one.

    Returns:
        The drawn examples, in their original order.

    Raises:
        DatasetError: If the fraction is out of range.
    """
    if not 0 < fraction <= 1:
        raise sources.DatasetError(
            f"label_fraction={fraction} must be above 0 and at most 1"
        )
    rng = np.random.default_rng(seed)
    parts = [np.arange(len(examples))]
    if task.kind in (task_kinds.BINARY, task_kinds.MULTICLASS):
        indices = range(len(task.classes))
        parts = [np.flatnonzero(examples.labels == index) for index in indices]
    rows = []
    for part in parts:
        count = min(len(part), max(1, round(fraction * len(part))))
        rows.append(rng.permutation(part)[:count])
    return examples.take(np.sort(np.concatenate(rows)))


def class_weights(examples: Examples, task: tasks.Task) -> npt.NDArray[np.float32]:
    """Returns weights of the examples that give all classes the same total weight.

    Args:
        examples: Training examples.
        task: A task with classes that exclude each other.

    Returns:
        float32, (N,), with the mean 1.

    Raises:
        DatasetError: If the task has no classes that exclude each other.
    """
    _need_classes(task, "class_weights")
    counts = np.bincount(examples.labels, minlength=len(task.classes))
    present = np.count_nonzero(counts)
    weights = len(examples) / (present * np.maximum(counts, 1))
    return weights[examples.labels].astype(np.float32)


def overlap(data: Data) -> dict[str, int]:
    """Counts the rows of other splits that are also in train, on either strand.

    Args:
        data: All splits.

    Returns:
        "validation" and "test", if present → number of rows.
    """
    in_training = set(data[TRAIN].groups())
    return {
        split: sum(group in in_training for group in rows.groups())
        for split, rows in data.splits.items()
        if split != TRAIN
    }


def contradictions(data: Data) -> int:
    """Counts canonical sequences with more than one label.

    Args:
        data: All splits.

    Returns:
        Number of distinct sequences.
    """
    labels: dict[bytes, bytes] = {}
    contradictory: set[bytes] = set()
    for split in data.splits.values():
        for group, label in zip(split.groups(), split.labels, strict=True):
            if labels.setdefault(group, label.tobytes()) != label.tobytes():
                contradictory.add(group)
    return len(contradictory)


def _task(feature: Any, metadata: Any) -> tasks.Task:
    """Returns the task that a prepared dataset declares."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.ClassLabel):
        kind = task_kinds.BINARY if feature.num_classes == 2 else task_kinds.MULTICLASS
        return tasks.Task(kind=kind, classes=tuple(feature.names))
    if feature.shape:
        names = (metadata or {}).get("classes") or range(feature.shape[0])
        return tasks.Task(kind=task_kinds.MULTI_LABEL, classes=tuple(map(str, names)))
    return tasks.Task(kind=task_kinds.REGRESSION)


def _examples(rows: Iterable[Mapping[str, Any]], task: tasks.Task) -> Examples:
    """Collects the examples of a prepared split."""
    parts, labels, ids = [], [], []
    for row in rows:
        parts.append(alphabet.CODES[np.frombuffer(row["sequence"], np.uint8)])
        labels.append(row["label"])
        ids.append(row["id"].decode())
    return _joined(parts, _array(labels, task), ids)


def _from_rows(rows: Sequence[tables.Row], task: tasks.Task) -> Examples:
    """Collects the rows of a table."""
    parts = [alphabet.CODES[np.frombuffer(row.sequence, np.uint8)] for row in rows]
    labels = _array([task.encode(row) for row in rows], task)
    return _joined(parts, labels, [row.id for row in rows])


def _array(labels: Sequence[Any], task: tasks.Task) -> npt.NDArray[Any]:
    dtype: Any = {task_kinds.REGRESSION: np.float32, task_kinds.MULTI_LABEL: np.uint8}
    return np.array(labels, dtype.get(task.kind, np.int32))


def _divided(
    rows: Sequence[tables.Row], path: str, task: str, splits: str, seed: int
) -> dict[str, list[tables.Row]]:
    """Divides the rows of one table into splits."""
    survey = tasks.Survey()
    for row in rows:
        survey.add(row, row.split)
    resolved = tasks.resolve(task, survey.labels, shown=path)
    shares = sources.parse_splits(splits)
    assigned = tasks.assign(survey, resolved, shares, seed=seed, shown=path)
    divided: dict[str, list[tables.Row]] = {}
    for split in sources.SPLITS:
        part = [row for row, name in zip(rows, assigned, strict=True) if name == split]
        if part:
            divided[split] = part
    if TRAIN not in divided:
        raise sources.DatasetError(f"{path}: no row belongs to the split train")
    return divided


def _check_empty(rows: Iterable[tables.Row]) -> None:
    """Refuses a row without a label, unless another row has several."""
    rows = list(rows)
    empty = next((row for row in rows if not row.label), None)
    if empty and not any(tables.SEPARATOR in row.label for row in rows):
        raise sources.DatasetError(f"{empty.place}: empty label")


def _check_splits(rows: Mapping[str, Sequence[tables.Row]]) -> None:
    """Refuses a row whose column `split` differs from the split of its table."""
    for split, split_rows in rows.items():
        for row in split_rows:
            if row.split not in ("", split):
                raise sources.DatasetError(
                    f"{row.place}: its split is {row.split}, but the table is given"
                    f" for {split}: give it alone, or without the column split"
                )


def _joined(
    parts: Sequence[npt.NDArray[np.uint8]], labels: npt.NDArray[Any], ids: list[str]
) -> Examples:
    """Returns the examples of sequences that are given one by one."""
    return Examples(
        codes=np.concatenate([np.zeros(0, np.uint8), *parts]),
        offsets=np.cumsum([0, *map(len, parts)], dtype=np.int64),
        labels=labels,
        ids=ids,
    )


def _range(lengths: npt.NDArray[np.int64]) -> str:
    return f"{min(lengths, default=0):,} to {max(lengths, default=0):,}"


def _need_classes(task: tasks.Task, flag: str) -> None:
    if task.kind not in (task_kinds.BINARY, task_kinds.MULTICLASS):
        raise sources.DatasetError(f"{flag} needs classes, not {task.kind}")
