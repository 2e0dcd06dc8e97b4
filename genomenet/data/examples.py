"""Labelled sequences in memory: what models are fine-tuned on, and judged by."""

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
    """Sequences of any mix of lengths, with their labels.

    Attributes:
        codes: Codes of `dna.alphabet`, uint8, one sequence after the other.
        offsets: int64, (N + 1,): sequence n is `codes[offsets[n]:offsets[n + 1]]`.
        labels: As `labels.Task.encode` gives them: int (N,), uint8 (N, classes) or
            float32 (N,).
        ids: N names.
    """

    codes: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[Any]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> npt.NDArray[np.uint8]:
        """Returns the codes of one sequence."""
        return self.codes[self.offsets[number] : self.offsets[number + 1]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Bases of each sequence, (N,)."""
        return np.diff(self.offsets)

    def take(self, rows: npt.ArrayLike) -> Examples:
        """Returns some of the sequences.

        Args:
            rows: Their numbers, in the order wanted.

        Returns:
            The examples.
        """
        rows = np.asarray(rows, np.int64)
        parts = [self[row] for row in rows]
        return Examples(
            codes=np.concatenate([np.zeros(0, np.uint8), *parts]),
            offsets=_offsets(parts),
            labels=self.labels[rows],
            ids=[self.ids[row] for row in rows],
        )

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
        """Returns for each sequence what it shares with its reverse complement."""
        letters = alphabet.LETTERS[self.codes].tobytes()
        ends = self.offsets.tolist()
        return [tasks.group(letters[a:b]) for a, b in itertools.pairwise(ends)]

    def digest(self) -> str:
        """Returns a checksum of sequences and labels, in their order."""
        found = hashlib.sha256()
        for part in (self.codes, self.offsets, np.ascontiguousarray(self.labels)):
            found.update(part.tobytes())
        return found.hexdigest()[:16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """A task with its splits.

    Attributes:
        name: Of the dataset, or of the table.
        task: What is to be learnt.
        splits: "train", and where there are such "validation" and "test".
    """

    name: str
    task: tasks.Task
    splits: Mapping[str, Examples]

    def __getitem__(self, split: str) -> Examples:
        return self.splits[split]

    def get(self, split: str) -> Examples | None:
        """Returns a split, or None."""
        return self.splits.get(split)

    def with_positive(self, name: str | None) -> Data:
        """Returns the same with another of two classes as the positive one.

        Raises:
            ValueError: If there are not two classes, or no such one.
        """
        if not name:
            return self
        return dataclasses.replace(
            self, task=dataclasses.replace(self.task, positive=name)
        )

    def with_train(self, train: Examples) -> Data:
        """Returns the same with other examples to learn from."""
        return dataclasses.replace(self, splits={**self.splits, TRAIN: train})


def read_prepared(directory: str | os.PathLike[str], *, train: str = TRAIN) -> Data:
    """Reads a prepared dataset of labelled sequences.

    Args:
        directory: Folder of the dataset, as `data.building.find` returns it.
        train: Name of the split to learn from.

    Returns:
        Its splits.

    Raises:
        DatasetError: If it is no such dataset, lacks the split, or one of its files is
            not as it was built.
    """
    import tensorflow_datasets as tfds  # slow to import

    builder = integrity.opened(directory)
    features: Any = builder.info.features
    if set(features) != {"sequence", "label", "id"}:
        raise sources.DatasetError(
            f"{directory} is no dataset of labelled sequences: it has the features"
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
    given: Mapping[str, str],
    *,
    task: str = tasks.AUTO,
    splits: str = "80/10/10",
    seed: int = 0,
) -> Data:
    """Reads tables, one a split; or one table that is then divided.

    Args:
        given: "train", and where wanted "validation" and "test" → a table (see
            `data.tables`). Sequences may be written as overlapping k-mers, set apart
            by blanks. With "train" alone its column `split` says which row goes
            where, or, where it has none, the shares.
        task: One of `labels.TASKS`; "auto" is found in the labels.
        splits: Percentages of train, validation and test.
        seed: Of the division.

    Returns:
        The splits. Classes are those of the training rows, or, where one table is
        divided by shares, of all.

    Raises:
        DatasetError: If a table is not usable, or a label is none of the classes.
    """
    may_lack = task in (tasks.AUTO, task_kinds.MULTI_LABEL)
    rows = {
        split: list(
            tables.read_tables([path], may_lack_label=may_lack, kmer=_kmer_length(path))
        )
        for split, path in given.items()
    }
    for split, found in rows.items():
        if not found:
            raise sources.DatasetError(f"{given[split]}: no rows")
    if task == tasks.AUTO:
        _check_empty(itertools.chain(*rows.values()))
    if len(rows) > 1:
        _check_places(rows)
    else:
        rows = _divided(rows[TRAIN], given[TRAIN], task, splits, seed)
    taught = rows[TRAIN]
    if not any(row.split for row in taught) and len(given) == 1:
        taught = itertools.chain(*rows.values())  # where a rare class went is chance
    known = tasks.resolve(task, [row.label for row in taught], shown=given[TRAIN])
    return Data(
        name=os.path.basename(given[TRAIN]),
        task=known,
        splits={split: _from_rows(found, known) for split, found in rows.items()},
    )


def draw_shots(
    examples: Examples, task: tasks.Task, shots: int, *, seed: int
) -> Examples:
    """Draws as many examples of each class.

    Args:
        examples: To draw from.
        task: Of classes.
        shots: Examples of each class.
        seed: Of the draw.

    Returns:
        The examples, in their order.

    Raises:
        DatasetError: If the task has no classes that exclude each other, or one has
            too few examples.
    """
    _need_classes(task, "shots")
    rng = np.random.default_rng(seed)
    rows = []
    for number, name in enumerate(task.classes):
        of_class = np.flatnonzero(examples.labels == number)
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
    """Draws a share of the examples, of each class the same share.

    Args:
        examples: To draw from.
        task: What is to be learnt.
        fraction: The share, above 0 and at most 1; of each class at least one
            example.
        seed: Of the draw. A smaller share is part of a larger one of the same seed.

    Returns:
        The examples, in their order.

    Raises:
        DatasetError: If the share is out of range.
    """
    if not 0 < fraction <= 1:
        raise sources.DatasetError(
            f"label_fraction={fraction} must be above 0 and at most 1"
        )
    rng = np.random.default_rng(seed)
    parts = [np.arange(len(examples))]
    if task.kind in (task_kinds.BINARY, task_kinds.MULTICLASS):
        numbers = range(len(task.classes))
        parts = [np.flatnonzero(examples.labels == number) for number in numbers]
    rows = []
    for part in parts:
        count = min(len(part), max(1, round(fraction * len(part))))
        rows.append(rng.permutation(part)[:count])
    return examples.take(np.sort(np.concatenate(rows)))


def class_weights(examples: Examples, task: tasks.Task) -> npt.NDArray[np.float32]:
    """Returns a weight for each example, so that all classes weigh the same.

    Args:
        examples: To learn from.
        task: Of classes.

    Returns:
        float32, (N,), with the mean 1.

    Raises:
        DatasetError: If the task has no classes that exclude each other.
    """
    _need_classes(task, "class_weights")
    counts = np.bincount(examples.labels, minlength=len(task.classes))
    present = np.count_nonzero(counts)
    each = len(examples) / (present * np.maximum(counts, 1))
    return each[examples.labels].astype(np.float32)


def overlap(data: Data) -> dict[str, int]:
    """Counts the rows of other splits that are also in training, on either strand.

    Args:
        data: All splits.

    Returns:
        "validation" and "test", where there are such → number of rows.
    """
    seen = set(data[TRAIN].groups())
    return {
        split: sum(group in seen for group in found.groups())
        for split, found in data.splits.items()
        if split != TRAIN
    }


def contradictions(data: Data) -> int:
    """Counts sequences with more than one label, on either strand.

    Args:
        data: All splits.

    Returns:
        Number of different sequences.
    """
    found: dict[bytes, bytes] = {}
    several: set[bytes] = set()
    for split in data.splits.values():
        for group, label in zip(split.groups(), split.labels, strict=True):
            if found.setdefault(group, label.tobytes()) != label.tobytes():
                several.add(group)
    return len(several)


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
    parts, found, ids = [], [], []
    for row in rows:
        parts.append(alphabet.CODES[np.frombuffer(row["sequence"], np.uint8)])
        found.append(row["label"])
        ids.append(row["id"].decode())
    return Examples(
        codes=np.concatenate([np.zeros(0, np.uint8), *parts]),
        offsets=_offsets(parts),
        labels=_array(found, task),
        ids=ids,
    )


def _from_rows(rows: Sequence[tables.Row], task: tasks.Task) -> Examples:
    """Collects the rows of a table."""
    parts = [alphabet.CODES[np.frombuffer(row.sequence, np.uint8)] for row in rows]
    return Examples(
        codes=np.concatenate([np.zeros(0, np.uint8), *parts]),
        offsets=_offsets(parts),
        labels=_array([task.encode(row) for row in rows], task),
        ids=[row.id for row in rows],
    )


def _array(found: Sequence[Any], task: tasks.Task) -> npt.NDArray[Any]:
    dtype: Any = {task_kinds.REGRESSION: np.float32, task_kinds.MULTI_LABEL: np.uint8}
    return np.array(found, dtype.get(task.kind, np.int32))


def _divided(
    rows: Sequence[tables.Row], path: str, task: str, splits: str, seed: int
) -> dict[str, list[tables.Row]]:
    """Divides one table."""
    survey = tasks.Survey()
    for row in rows:
        survey.add(row, row.split)
    known = tasks.resolve(task, survey.labels, shown=path)
    shares = sources.parse_splits(splits)
    found = tasks.assign(survey, known, shares, seed=seed, shown=path)
    divided: dict[str, list[tables.Row]] = {}
    for split in sources.SPLITS:
        part = [row for row, name in zip(rows, found, strict=True) if name == split]
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


def _check_places(rows: Mapping[str, Sequence[tables.Row]]) -> None:
    """Refuses a row whose column `split` says other than the table's place."""
    for split, found in rows.items():
        for row in found:
            if row.split not in ("", split):
                raise sources.DatasetError(
                    f"{row.place}: its split is {row.split}, but the table is given"
                    f" for {split}: give it alone, or without the column split"
                )


def _kmer_length(path: str) -> int:
    """Returns the k of the k-mers that a table's first sequence is written in, or 0."""
    required = (tables.SEQUENCE, tables.LABEL)
    for _, values in tables.read_fields(path, required=required):
        lengths = {len(word) for word in values[tables.SEQUENCE].split()}
        return (
            lengths.pop() if len(lengths) == 1 and " " in values[tables.SEQUENCE] else 0
        )
    return 0


def _offsets(parts: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *map(len, parts)], dtype=np.int64)


def _need_classes(task: tasks.Task, flag: str) -> None:
    if task.kind not in (task_kinds.BINARY, task_kinds.MULTICLASS):
        raise sources.DatasetError(f"{flag} needs classes, not {task.kind}")
