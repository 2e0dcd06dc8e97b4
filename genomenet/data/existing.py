"""Checks that what a command is given exists, before TensorFlow is imported."""

from __future__ import annotations

from collections.abc import Iterable

from genomenet import catalog
from genomenet.data import building
from genomenet.dna import files as files_lib


def check(
    *,
    models: Iterable[str] = (),
    dataset: str | None = None,
    data_dir: str | None = None,
    files: Iterable[str | None] = (),
) -> None:
    """Checks that names and files exist.

    Args:
        models: Names of models, or their folders.
        dataset: Name of a dataset, or its folder.
        data_dir: Folder of all prepared datasets.
        files: Files, patterns, or - for standard input; None is left out.

    Raises:
        ValueError: If one does not.
    """
    for name in models:
        catalog.model_folder(name)
    if dataset is not None and building.find(dataset, data_dir) is None:
        catalog.dataset_folder(dataset)
    if paths := [path for path in files if path is not None]:
        files_lib.expand(paths)
