"""The recipe for labelled sequences: one class, several labels, or a number."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from genomenet import startup, task_kinds
from genomenet.data import progress, sources, tables, tasks
from genomenet.data.builders import base, genome_chunks
from genomenet.dna import reader


class LabelledSequences(base.Recipe, skip_registration=True):
    """Labelled sequences, on which models are fine-tuned and evaluated.

    An example is `{"sequence": Text, "label": ..., "id": Text}`, the sequence in
    upper-case `ACGTN`. The label is a `ClassLabel` for two or more classes, uint8
    (classes,) for several labels at once, float32 for regression. Rows with the same
    sequence on either strand are always in one split, unless the source names the
    splits.

    A recipe of the catalogue subclasses this, states `TASK` and `CLASSES`, and
    overrides `_sources` and, if rows are not split at random, `split_of`.

    Args:
        name: Name of the dataset; by default that of the recipe.
        sources: Tables to read (see `genomenet.data.tables`), or class → its sequence
            files; by default the files of the recipe. Patterns are allowed.
        task: One of `genomenet.data.tasks.TASKS`.
        splits: Percentages of train, validation and test, such as `90/5/5`; not used
            if the source names the splits.
        seed: Seed of the splits.
        **kwargs: Arguments of `tfds.core.GeneratorBasedBuilder`, such as `data_dir`.

    Raises:
        DatasetError: If an option is invalid, or sources that are needed to derive
            the classes are not usable.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    BASE = "LabelledSequences"

    TASK: ClassVar[str] = tasks.AUTO
    """Kind of task; "auto" derives it and the classes from the data."""

    CLASSES: ClassVar[tuple[str, ...]] = ()
    """Names of the classes, in the order of their indices."""

    COLUMNS: ClassVar[Mapping[str, str]] = {}
    """Name of a column in the table → its type: sequence, label, id or split."""

    def __init__(
        self,
        *,
        name: str | None = None,
        sources: Sequence[str | os.PathLike[str]]
        | Mapping[str, Sequence[str | os.PathLike[str]]] = (),
        task: str | None = None,
        splits: str = genome_chunks.SPLITS,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        self._shares = _shares(splits)
        self.given_sources = _as_text(sources)
        self._survey: tasks.Survey | None = None
        self._task = self._find_task(task or self.TASK)
        super().__init__(
            name=name,
            sources=self.given_sources,
            options={"task": self._task.kind, "splits": splits, "seed": seed},
            **kwargs,
        )

    def split_of(self, row: tables.Row) -> str:
        """Returns the split of a row, or "" to assign one at random.

        Args:
            row: A labelled sequence.

        Returns:
            "train", "validation", "test", another name, or "".
        """
        return row.split

    def copies(self, names: Sequence[str]) -> dict[str, str]:
        """Returns the splits that are copies of other splits.

        Args:
            names: Splits that rows are assigned to.

        Returns:
            Name of a copy → one of `names`; empty here.
        """
        del names
        return {}

    def facts(self, survey: tasks.Survey, splits: Sequence[str]) -> dict[str, Any]:
        """Returns further metadata on the rows.

        Args:
            survey: Survey of the rows.
            splits: Split of each row.

        Returns:
            Name → a JSON value; here the counts of repeats.
        """
        return tasks.repeats(survey, splits)

    def files(self, dl_manager: Any) -> list[str]:
        """Returns the files to read, downloaded where needed."""
        if isinstance(self.given_sources, Mapping):
            return [p for paths in self._class_files().values() for p in paths]
        return super().files(dl_manager)

    def fingerprints(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Returns the fingerprints of the files, with their classes where given."""
        fingerprints = super().fingerprints(paths)
        if isinstance(self.given_sources, Mapping):
            classes = [name for name, p in self._class_files().items() for _ in p]
            for fingerprint, name in zip(fingerprints, classes, strict=True):
                fingerprint["class"] = name
        return fingerprints

    def _info(self) -> tfds.core.DatasetInfo:
        """Declares the features."""
        if self._task.kind == task_kinds.REGRESSION:
            label: Any = tfds.features.Scalar(np.float32)
        elif self._task.kind == task_kinds.MULTI_LABEL:
            label = tfds.features.Tensor(
                shape=(len(self._task.classes),), dtype=np.uint8
            )
        else:
            label = tfds.features.ClassLabel(names=self._task.classes)
        text = tfds.features.Text
        return self.dataset_info(
            description="Labelled sequences, made by genomenet.",
            features=tfds.features.FeaturesDict(
                {"sequence": text(), "label": label, "id": text()}
            ),
            supervised_keys=("sequence", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        """Assigns rows to splits, and sets up the examples of each."""
        if self.beam_is_used:
            raise sources.DatasetError("beam_options is for genomes, not for labels")
        paths = self.files(dl_manager)
        survey = self._survey or self._read(
            paths, self._task, may_lack_label=self._may_lack_label
        )
        split_of_row = tasks.assign(
            survey,
            self._task,
            self._shares,
            seed=self.options["seed"],
            shown=sources.shown(paths),
        )
        used = set(split_of_row)
        ordered = dict.fromkeys([*sources.SPLITS, *split_of_row])
        names = [name for name in ordered if name in used]
        rows_of = self.copies(names) | {name: name for name in names}
        self.note(
            {
                "recipe": self.BASE,
                **self.options,
                "classes": list(self._task.classes),
                "sources": self.fingerprints(paths),
                "rows": len(survey.labels),
                "bases": survey.bases,
                "labels": {
                    split: _counts(survey, split_of_row, name, self._task)
                    for split, name in rows_of.items()
                },
                **self.facts(survey, split_of_row),
            }
        )
        startup.load_tensorflow()
        update = self._open_files.enter_context(
            progress.bar("writing", survey.bases, show=self.shows_progress)
        )
        return {
            split: self._generate_examples(paths, split_of_row, name, update)
            for split, name in rows_of.items()
        }

    def _generate_examples(
        self,
        paths: Sequence[str],
        split_of_row: Sequence[str],
        split: str,
        update: Callable[[int], Any],
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the examples of a split."""
        rows = self._rows(paths, may_lack_label=self._may_lack_label)
        for index, row in enumerate(rows):
            if split_of_row[index] == split:
                features = {
                    "sequence": row.sequence,
                    "label": self._task.encode(row),
                    "id": row.id,
                }
                yield index, features
                update(len(row.sequence))

    @property
    def _may_lack_label(self) -> bool:
        """Whether a row may have no label."""
        return self._task.kind == task_kinds.MULTI_LABEL

    def _find_task(self, kind: str) -> tasks.Task:
        """Returns the task that the recipe states, else that of the data."""
        if kind not in tasks.TASKS:
            raise sources.DatasetError(
                f"task={kind} is none of {', '.join(tasks.TASKS)}"
            )
        if self.CLASSES:
            usual = (
                task_kinds.BINARY if len(self.CLASSES) == 2 else task_kinds.MULTICLASS
            )
            kind = usual if kind == tasks.AUTO else kind
            return tasks.Task(kind=kind, classes=self.CLASSES)
        if kind == task_kinds.REGRESSION and not self.given_sources:
            return tasks.Task(kind=kind)
        if not self.given_sources:
            raise sources.DatasetError(
                f"{type(self).__name__}: the recipe has no CLASSES"
            )
        paths = self.files(None)
        stated = tasks.Task(kind=kind) if kind == task_kinds.REGRESSION else None
        self._survey = self._read(
            paths, stated, may_lack_label=kind == task_kinds.MULTI_LABEL
        )
        return tasks.resolve(kind, self._survey.labels, shown=sources.shown(paths))

    def _read(
        self,
        paths: Sequence[str],
        task: tasks.Task | None,
        *,
        may_lack_label: bool = False,
    ) -> tasks.Survey:
        """Reads all rows once, and checks their labels if the task is known."""
        survey = tasks.Survey()
        for row in self._rows(paths, may_lack_label=may_lack_label):
            survey.add(row, self.split_of(row))
            if task:
                task.encode(row)
        if not survey.labels:
            raise sources.DatasetError(f"{sources.shown(paths)}: no rows")
        return survey

    def _rows(
        self, paths: Sequence[str], *, may_lack_label: bool
    ) -> Iterator[tables.Row]:
        """Yields the rows of tables or sequence files."""
        if isinstance(self.given_sources, Mapping):
            return tables.read_classes(self._class_files())
        return tables.read_tables(
            paths,
            columns=self.COLUMNS,
            may_lack_label=may_lack_label,
        )

    def _class_files(self) -> dict[str, list[str]]:
        """Returns the sequence files of each class."""
        return {name: reader.expand(p) for name, p in self.given_sources.items()}


def _shares(splits: str) -> dict[str, float]:
    """Parses the shares; a function, as `sources` is also an argument."""
    return sources.parse_splits(splits)


def _as_text(given: Any) -> Any:
    """Returns sources with their paths as strings."""
    if isinstance(given, Mapping):
        return {name: [os.fspath(p) for p in paths] for name, paths in given.items()}
    return [os.fspath(path) for path in given]


def _counts(
    survey: tasks.Survey, splits: Sequence[str], name: str, task: tasks.Task
) -> dict[str, int]:
    """Counts the rows of a split, by class where rows have one."""
    rows = zip(survey.labels, splits, strict=True)
    label_counts = collections.Counter(label for label, split in rows if split == name)
    if task.kind not in (task_kinds.BINARY, task_kinds.MULTICLASS):
        return {"all": label_counts.total()}
    counts = dict.fromkeys(task.classes, 0)
    for label, count in label_counts.items():
        counts[tasks.class_name(label)] += count
    return counts
