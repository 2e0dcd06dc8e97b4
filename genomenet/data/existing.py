"""Checks that the inputs of a command exist, before TensorFlow is imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from genomenet import catalog
from genomenet.data import building, intervals
from genomenet.dna import files as files_lib


def check(
    *,
    models: Iterable[str] = (),
    dataset: str | None = None,
    data_dir: str | None = None,
    files: Iterable[str | None] = (),
    genome: Sequence[str] | None = None,
    width: int | None = None,
) -> None:
    """Checks that names and files exist.

    Args:
        models: Names of models, or their folders.
        dataset: Name of a dataset, or its folder.
        data_dir: Folder of all prepared datasets.
        files: Files, patterns, or - for standard input; None is skipped.
        genome: Genome of the intervals, as for `data.intervals.check`.
        width: Width of the intervals, as for `data.intervals.check`.

    Raises:
        ValueError: If a name or file does not exist, or intervals have no genome.
    """
    for name in models:
        catalog.model_folder(name)
    if dataset is not None and building.find(dataset, data_dir) is None:
        catalog.dataset_folder(dataset)
    paths = [path for path in files if path is not None]
    intervals.check(paths, genome, width)
    if paths := [*paths, *(genome or [])]:
        files_lib.expand(paths)
