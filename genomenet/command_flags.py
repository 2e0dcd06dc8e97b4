"""Flags that several commands share.

A command calls these functions at module level, then
`flags.adopt_module_key_flags(command_flags)`, so that its --help shows the flags.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import app, flags

from genomenet import task_kinds


def define_genome() -> tuple[
    flags.FlagHolder[list[str] | None], flags.FlagHolder[int | None]
]:
    """Defines --genome and --width, for commands whose --input may be intervals."""
    genome = flags.DEFINE_list(
        "genome",
        None,
        "Sequence files of the genome. The input then consists of intervals: BED,"
        " narrowPeak, or tables with the columns chrom, start, end.",
    )
    width = flags.DEFINE_integer(
        "width",
        None,
        "Bases to read around the summit of an interval, or around its midpoint if it"
        " has no summit (default: the whole interval).",
        lower_bound=1,
    )
    return genome, width


def define_prepared() -> tuple[flags.FlagHolder[str | None], flags.FlagHolder[bool]]:
    """Defines --data_dir and --verify, for commands that read prepared datasets."""
    data_dir = flags.DEFINE_string(
        "data_dir",
        None,
        "Folder of all datasets (default: $TFDS_DATA_DIR or ~/tensorflow_datasets).",
    )
    verify = flags.DEFINE_bool(
        "verify",
        False,
        "Compare the checksums of all files of --dataset first. Without it, only sizes"
        " and ends of files are compared.",
    )
    return data_dir, verify


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
        """Raises UsageError if the flags contradict each other."""
        if bool(self.dataset.value) == bool(self.table.value):
            raise app.UsageError("give one of --dataset and --table")
        if self.dataset.value and (self.valid_table.value or self.test_table.value):
            raise app.UsageError("--valid_table and --test_table need --table")

    def named(self) -> dict[str, Any]:
        """Returns the inputs that must exist, as arguments of `data.existing.check`."""
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
            "data_dir",
            None,
            "Folder of all datasets (default: $TFDS_DATA_DIR or"
            " ~/tensorflow_datasets).",
        ),
        table=flags.DEFINE_string(
            "table",
            None,
            "TSV or CSV with columns sequence and label; optional columns id and split."
            " Without a column split and without --test_table, rows are divided"
            " 80/10/10.",
        ),
        valid_table=flags.DEFINE_string(
            "valid_table", None, "Validation set of --table."
        ),
        test_table=flags.DEFINE_string("test_table", None, "Test set of --table."),
        task=flags.DEFINE_enum(
            "task",
            "auto",
            ["auto", *task_kinds.KINDS],
            "Kind of task of --table; auto infers it from the labels.",
        ),
        train_split=flags.DEFINE_string(
            "train_split", "train", "Training split of --dataset, such as train_10."
        ),
    )
