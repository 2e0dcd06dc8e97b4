"""The recipe for few-shot tasks: published small training sets and one test set."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from genomenet.data import sources, tables, tasks
from genomenet.data.builders import labelled_sequences

TEST: Final = "test"
TRAIN: Final = "train"

# The newest commit when this was written; the files are those of July 2023.
_COMMIT: Final = "c7614461323015ffcbbdb39fc4778e9255ddfcab"
_URL: Final = (
    f"https://raw.githubusercontent.com/roysoumya/GeneMask/{_COMMIT}"
    "/Data-B_fewshot-task-datasets"
)


class FewShot(labelled_sequences.LabelledSequences, skip_registration=True):
    """A few-shot task as the authors of GeneMask publish it.

    Each published training set is a split, named after its folder: `train_10`,
    `train_50` and so on. The sets were drawn independently: none contains a smaller
    one. `train` is a copy of the largest training set that is present, and `test` is
    the test set. No validation set is published.

    Files lie in a folder as in the repository, `<shots>/train.tsv` and `test.tsv`.
    Training sets may be absent from a manual directory; the metadata list them.

    A recipe of the catalogue subclasses this and states `FOLDER`, `CLASSES`, `SHOTS`
    and `TEST`.

    Source:
        Roy et al., GeneMask (ECAI 2023), section on few-shot settings. Differences:
        sequences are bases, joined from the published 6-mers.
    """

    BASE = "FewShot"

    FOLDER: ClassVar[str] = ""
    """Folder of the task in the repository."""

    TRAIN_FILE: ClassVar[str] = "{shots}/train.tsv"
    """Path of a training set in the folder."""

    SHOTS: ClassVar[Mapping[int, int | None]] = {n: n for n in (10, 50, 100, 500, 1000)}
    """Folder of a training set → examples of each class; None if unknown."""

    TEST: ClassVar[Mapping[str, int] | None] = None
    """Class → number of its examples in the test set; None if unknown."""

    CHECKS_COUNTS: ClassVar[bool] = True
    """Whether a different number of examples is an error."""

    KMER: ClassVar[int] = 6
    """Length of the overlapping k-mers in which sequences are written, in bases."""

    MANUAL_FILES = ("test.tsv", "*/train*.tsv")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Copy the folder of this task from the repository roysoumya/GeneMask "
        "(Data-B_fewshot-task-datasets) and give it as manual_dir."
    )

    _split_of_file: Mapping[str, str] = {}  # set by `files`

    def files(self, dl_manager: Any) -> list[str]:
        """Returns the training sets and the test set, downloaded where needed."""
        paths = super().files(dl_manager)
        if not set(paths) <= set(self._split_of_file):  # these are not downloads
            self._split_of_file = self._by_name(paths)
        return list(self._split_of_file)

    def copies(self, names: Sequence[str]) -> dict[str, str]:
        """Returns the training set that `train` copies."""
        trains = [name for name in self._names() if name in names and name != TEST]
        return {TRAIN: trains[-1]}

    def facts(self, survey: tasks.Survey, splits: Sequence[str]) -> dict[str, Any]:
        """Returns the counts of repeats, and of test sequences in each training set.

        Args:
            survey: Survey of the rows.
            splits: Split of each row.

        Returns:
            Name → a JSON value.
        """
        sequences_of: dict[str, set[bytes]] = collections.defaultdict(set)
        for sequence, split in zip(survey.groups, splits, strict=True):
            sequences_of[split].add(sequence)
        names = [name for name in self._names() if name in sequences_of]
        test_sequences = sequences_of[TEST]
        return {
            **super().facts(survey, splits),
            "copies": self.copies(names),
            "test_sequences_in": {
                name: len(sequences_of[name] & test_sequences)
                for name in names
                if name != TEST
            },
            "absent": [name for name in self._names() if name not in names],
        }

    def _sources(self, dl_manager: Any) -> list[str]:
        """Downloads the files one by one, so that the first failure stops the rest."""
        split_of_file: dict[str, str] = {}
        for split, name in self._names().items():
            path = dl_manager.download(f"{_URL}/{self.FOLDER}/{name}")
            split_of_file[os.fspath(path)] = split
        self._split_of_file = split_of_file
        return list(split_of_file)

    def _names(self) -> dict[str, str]:
        """Returns split → path in the folder, training sets by increasing size."""
        trains = {
            f"{TRAIN}_{shots}": self.TRAIN_FILE.format(shots=shots)
            for shots in sorted(self.SHOTS)
        }
        return {**trains, TEST: "test.tsv"}

    def _by_name(self, paths: Sequence[str]) -> dict[str, str]:
        """Returns the split of each file, by the end of its path."""
        split_of_file: dict[str, str] = {}
        for split, name in self._names().items():
            parts = pathlib.PurePath(name).parts
            for path in paths:
                if pathlib.PurePath(path).parts[-len(parts) :] == parts:
                    split_of_file[path] = split
        splits = list(split_of_file.values())
        if TEST not in splits or len(set(splits)) < 2 or len(set(splits)) < len(splits):
            names = ", ".join(self._names().values())
            raise sources.DatasetError(
                f"{sources.shown(paths)}: need one test.tsv and at least one training "
                f"set, each once, of: {names}"
            )
        return split_of_file

    def _rows(
        self, paths: Sequence[str], *, may_lack_label: bool
    ) -> Iterator[tables.Row]:
        """Yields the rows of all files, with their splits."""
        for path in paths:
            split = self._split_of_file[path]
            for row in tables.read_tables(
                [path], may_lack_label=may_lack_label, kmer=self.KMER
            ):
                line = row.id.rpartition(":")[2]
                yield dataclasses.replace(row, split=split, id=f"{split}:{line}")

    def _read(self, paths: Sequence[str], *args: Any, **kwargs: Any) -> tasks.Survey:
        """Reads all rows once, and checks their counts."""
        survey = super()._read(paths, *args, **kwargs)
        if self.CHECKS_COUNTS:
            counts: dict[str, collections.Counter[str]]
            counts = collections.defaultdict(collections.Counter)
            for label, split in zip(survey.labels, survey.splits, strict=True):
                counts[split][tasks.class_name(label)] += 1
            for path, split in self._split_of_file.items():
                self._check(path, split, counts[split])
        return survey

    def _check(self, path: str, split: str, counts: Mapping[str, int]) -> None:
        """Raises an error if a file has other counts of examples than published."""
        expected: Mapping[str, int | None]
        if split == TEST:
            expected = self.TEST or {}
        else:
            expected = dict.fromkeys(self.CLASSES, self.SHOTS[int(split[6:])])
        for name, count in expected.items():
            if count is not None and counts[name] != count:
                raise sources.DatasetError(
                    f"{path}: {counts[name]:,} examples of class {name}, not the "
                    f"{count:,} that were published"
                )
