"""The catalogue `datasets/` for TFDS, and prepared datasets by name."""

from __future__ import annotations

import functools
import importlib.util
import os
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from genomenet import catalog
from genomenet.data import building as preparation
from genomenet.data import integrity, sources

if TYPE_CHECKING:
    from genomenet.data.builders import base

find = preparation.find


@functools.cache
def register() -> None:
    """Makes `tfds.builder(name)` and `tfds.load(name)` know the catalogue."""
    import tensorflow_datasets as tfds

    # At index 0, as TFDS itself imports all its legacy datasets to look up a name.
    tfds.core.add_dataset_builder_provider(_Provider(), index=0)


def builder(
    name: str, data_dir: str | os.PathLike[str] | None = None, **options: Any
) -> base.Recipe:
    """Returns the builder of a dataset of the catalogue.

    Args:
        name: Name in `datasets/`, or the path of a folder like those in it.
        data_dir: Folder of all datasets; TFDS's default if None.
        **options: Options of its recipe, such as `chunk_length`.

    Returns:
        The builder; nothing is prepared yet.

    Raises:
        DatasetError: If there is no such dataset.
    """
    data_dir = os.fspath(data_dir or preparation.default_data_dir())
    return builder_class(name)(data_dir=data_dir, **options)


def prepare(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    verify: bool = False,
) -> pathlib.Path:
    """Returns a prepared dataset of the catalogue, built if it does not exist.

    Args:
        name: Name in `datasets/`.
        data_dir: Folder of all datasets; TFDS's default if None.
        manual_dir: Folder with files that the user downloaded.
        progress: Whether to show progress bars.
        verify: Whether to read an existing dataset completely and compare checksums.

    Returns:
        Its folder, `<data_dir>/<name>/<version>`.

    Raises:
        DatasetError: If there is no such dataset, it cannot be built, or an existing
            dataset is not what was built.
    """
    if existing := find(name, data_dir):
        if verify:
            integrity.check(existing, whole=True)
        return existing
    path, _ = preparation.prepare(
        builder_class(name).name,
        lambda folder: builder(name, folder),
        data_dir=data_dir,
        manual_dir=manual_dir,
        show_progress=progress,
    )
    return path


@functools.cache
def builder_class(name: str) -> type[base.Recipe]:
    """Loads the recipe in a folder of the catalogue.

    Args:
        name: Name in `datasets/`, or the path of a folder like those in it.

    Returns:
        Its class `Builder`.

    Raises:
        DatasetError: If there is no such dataset.
    """
    from tensorflow_datasets.core import registered

    folder = _folder(name)
    module_name = f"{folder.name}_dataset_builder"
    path = folder / f"{module_name}.py"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise sources.DatasetError(f"{folder} has no {path.name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # TFDS looks its file up there
    try:
        with registered.skip_registration():
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module.Builder


def _folder(name: str) -> pathlib.Path:
    """Returns the folder of a dataset of the catalogue."""
    try:
        return catalog.dataset_folder(name)
    except ValueError as e:
        raise sources.DatasetError(str(e)) from None


class _Provider:
    """Provides TFDS with datasets that it does not have itself."""

    def has_dataset(self, name: str) -> bool:
        """Returns whether the name is in the catalogue."""
        return name in catalog.dataset_names()

    def get_builder_cls(self, name: str) -> type[base.Recipe]:
        """Returns the recipe."""
        return builder_class(name)
