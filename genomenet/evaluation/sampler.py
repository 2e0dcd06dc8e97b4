"""Draws the training examples of each run of a protocol."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from genomenet import task_kinds
from genomenet.data import examples
from genomenet.evaluation import protocols


class Sampler:
    """Draws the examples of each run.

    Args:
        data: The splits of the task; validation is not used.
        directory: Folder of the prepared dataset, if it is one. A split `train_…` that
            holds the wanted number of examples of each class is used for seed 0. All
            other examples are drawn from the training split, so that draws differ.

    Raises:
        ValueError: If there is no test split.
    """

    def __init__(self, data: examples.Data, directory: pathlib.Path | None = None):
        if examples.TEST not in data.splits:
            raise ValueError(f"{data.name} has no test split: give test_table")
        kept = {name: data[name] for name in (examples.TRAIN, examples.TEST)}
        self.data = dataclasses.replace(data, splits=kept)
        self._directory = directory
        self._sizes = _published_sizes(directory)
        self._published: dict[float, tuple[examples.Data, str] | None] = {}

    def draw(
        self, protocol: protocols.Protocol, setting: Any, seed: int
    ) -> tuple[examples.Data, str]:
        """Draws the examples of a run.

        Args:
            protocol: The protocol.
            setting: Shots, or the share of the labels.
            seed: Seed of the draw.

        Returns:
            The examples, and the origin of the training examples: the name of a
            published split, or "drawn".

        Raises:
            DatasetError: If there are too few examples.
        """
        train, task = self.data[examples.TRAIN], self.data.task
        if protocol.kind == protocols.LABEL_FRACTION:
            drawn = examples.draw_fraction(train, task, setting, seed=seed)
            return self.data.with_train(drawn), "drawn"
        if not seed:
            if setting not in self._published:
                self._published[setting] = self._find(setting)
            if published := self._published[setting]:
                return published
        drawn = examples.draw_shots(train, task, setting, seed=seed)
        return self.data.with_train(drawn), "drawn"

    def _find(self, shots: int) -> tuple[examples.Data, str] | None:
        """Returns the published split with so many examples per class, by content."""
        task = self.data.task
        if task.kind not in (task_kinds.BINARY, task_kinds.MULTICLASS):
            return None
        for name, size in self._sizes.items():
            if self._directory is None or size != shots * len(task.classes):
                continue
            train = examples.read_prepared(self._directory, train=name)[examples.TRAIN]
            if (np.bincount(train.labels, minlength=len(task.classes)) == shots).all():
                return self.data.with_train(train), name
        return None


def _published_sizes(directory: pathlib.Path | None) -> dict[str, int]:
    """Returns the splits `train_…` of a prepared dataset → number of examples."""
    if directory is None:
        return {}
    content = json.loads((directory / "dataset_info.json").read_text(encoding="utf-8"))
    return {
        split["name"]: sum(map(int, split["shardLengths"]))
        for split in content["splits"]
        if split["name"].startswith(f"{examples.TRAIN}_")
    }
