"""Flags that several commands have, defined once.

A command calls the functions at its top, then
`flags.adopt_module_key_flags(command_flags)`, so that its --help shows them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import app, flags

from genomenet import task_kinds


def define_genome() -> tuple[
    flags.FlagHolder[list[str] | None], flags.FlagHolder[int | None]
]:
    """Defines --genome and --width, for an --input of intervals."""
    genome = flags.DEFINE_list(
        "genome",
        None,
        "Sequence files of the genome; the input is then intervals: BED, narrowPeak, or"
        " tables with the columns chrom, start, end.",
    )
    width = flags.DEFINE_integer(
        "width",
        None,
        "Of intervals: bases around the summit or else the middle (default: as they"
        " are).",
        lower_bound=1,
    )
    return genome, width


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Flags of labelled sequences: a dataset or tables."""

    dataset: flags.FlagHolder[str | None]
    data_dir: flags.FlagHolder[str | None]
    table: flags.FlagHolder[str | None]
    valid_table: flags.FlagHolder[str | None]
    test_table: flags.FlagHolder[str | None]
    task: flags.FlagHolder[str]
    train_split: flags.FlagHolder[str]

    def check(self) -> None:
        """Raises UsageError where they do not go together."""
        if bool(self.dataset.value) == bool(self.table.value):
            raise app.UsageError("give one of --dataset and --table")
        if self.dataset.value and (self.valid_table.value or self.test_table.value):
            raise app.UsageError("--valid_table and --test_table go with --table")

    def named(self) -> dict[str, Any]:
        """Returns what must exist, as `data.existing.check` takes it."""
        return {
            "dataset": self.dataset.value,
            "data_dir": self.data_dir.value,
            "files": [
                self.table.value,
                self.valid_table.value,
                self.test_table.value,
            ],
        }


def define_labelled() -> Labelled:
    """Defines --dataset, --data_dir, --table, --valid_table, --test_table and more."""
    return Labelled(
        dataset=flags.DEFINE_string(
            "dataset", None, "Name of a dataset of labelled sequences, or its folder."
        ),
        data_dir=flags.DEFINE_string(
            "data_dir", None, "Folder of all datasets (default: as in TFDS)."
        ),
        table=flags.DEFINE_string(
            "table",
            None,
            "TSV or CSV with columns sequence, label, and where wanted id and split;"
            " alone and without a split it is divided, 80/10/10.",
        ),
        valid_table=flags.DEFINE_string(
            "valid_table", None, "Validation set of --table."
        ),
        test_table=flags.DEFINE_string("test_table", None, "Test set of --table."),
        task=flags.DEFINE_enum(
            "task",
            "auto",
            ["auto", *task_kinds.KINDS],
            "What the labels of --table mean; found in the labels if not given.",
        ),
        train_split=flags.DEFINE_string(
            "train_split", "train", "Split of --dataset to learn from, as train_10."
        ),
    )
