"""Builds a dataset completely or not at all, and finds prepared datasets."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from genomenet import atomic
from genomenet.data import integrity, sources

if TYPE_CHECKING:
    from genomenet.data.builders import base

_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_INFO: Final = integrity.INFO
_STAGING: Final = ".incomplete"

metadata = integrity.metadata


def default_data_dir() -> pathlib.Path:
    """Returns the default folder of all datasets, which is that of TFDS."""
    given = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(given).expanduser()


def check_name(name: str) -> str:
    """Checks the name of a dataset to build.

    Args:
        name: The name.

    Returns:
        The same name.

    Raises:
        DatasetError: If TFDS does not accept it.
    """
    if not _NAME.fullmatch(name):
        raise sources.DatasetError(
            f"name={name}: use lower-case letters, digits and underscores, "
            "and a letter first"
        )
    return name


def find(
    name: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None
) -> pathlib.Path | None:
    """Finds a prepared dataset. Imports neither TFDS nor TensorFlow.

    Args:
        name: Name of the dataset, or its folder, with or without the version.
        data_dir: Folder of all datasets; TFDS's default if None.

    Returns:
        The folder of its newest version, or None if there is no complete one.
    """
    folder = pathlib.Path(name)
    if os.sep not in os.fspath(name):
        folder = pathlib.Path(data_dir or default_data_dir()) / folder
    folder = folder.expanduser()
    if (folder / _INFO).is_file():
        return folder
    versions = [
        (tuple(map(int, match.groups())), path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := _VERSION.fullmatch(path.name)) and (path / _INFO).is_file()
    ]
    return max(versions)[1] if versions else None


def prepare(
    name: str,
    make: Callable[[str], base.Recipe],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    show_progress: bool = True,
    beam_options: str | None = None,
) -> tuple[pathlib.Path, bool]:
    """Builds a dataset, unless it exists already.

    The dataset is built beside its final folder and moved there when it is complete.
    A dataset to be replaced stays until then, and an interrupted build leaves nothing
    that looks finished. The next build removes what a killed build left.

    Args:
        name: Name of the dataset.
        make: Function that returns the builder for a given folder of datasets.
        data_dir: Folder of all datasets; TFDS's default if None.
        manual_dir: Folder with files that the user downloaded.
        overwrite: Whether to replace an existing dataset.
        show_progress: Whether to show progress bars.
        beam_options: Options of an Apache Beam pipeline, such as
            `--runner=DirectRunner`; None builds in this process.

    Returns:
        Folder of the dataset, and whether this call built it.

    Raises:
        DatasetError: If the dataset exists with other options, another process is
            building it, or its recipe fails.
        SequenceFileError: If a sequence file is not usable as it is.
        OSError: If the dataset cannot be written. The message names the dataset.
    """
    root = pathlib.Path(data_dir or default_data_dir()).expanduser()
    if "://" in os.fspath(data_dir or ""):
        raise sources.DatasetError(
            f"data_dir={data_dir} is a URL: use a mounted folder"
        )
    if manual_dir is not None and not any(pathlib.Path(manual_dir).glob("*")):
        raise sources.DatasetError(
            f"manual_dir={manual_dir} is not a folder with files"
        )
    with _locked(root / check_name(name)):
        staging = root / name / _STAGING
        _remove(staging)
        builder = make(os.fspath(staging))
        builder.shows_progress = show_progress
        target = root / name / str(builder.version)
        if (target / _INFO).is_file() and not overwrite:
            _check_same(builder, target)
            return target, False
        try:
            _download_and_prepare(builder, root, manual_dir, beam_options)
            integrity.seal(builder.data_dir)
            with atomic.replacing(target) as partial:
                os.replace(builder.data_dir, partial)
        except Exception as e:
            if error := _of_disk(e, staging, target):
                raise error from e
            raise
        finally:
            _remove(staging)
    return target, True


def _download_and_prepare(
    builder: base.Recipe,
    root: pathlib.Path,
    manual_dir: str | os.PathLike[str] | None,
    beam_options: str | None,
) -> None:
    """Runs TFDS without its log messages."""
    import tensorflow_datasets as tfds
    from absl import logging

    config = tfds.download.DownloadConfig(
        manual_dir=os.path.abspath(manual_dir) if manual_dir else None,
        try_download_gcs=False,
    )
    if beam_options is not None:
        config.beam_options = _beam(beam_options)
        builder.beam_is_used = True
    downloads = root / "downloads"
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        builder.download_and_prepare(download_dir=downloads, download_config=config)
    finally:
        logging.set_verbosity(verbosity)
        for folder in (downloads / "extracted", downloads):
            with contextlib.suppress(OSError):
                folder.rmdir()  # TFDS makes them even if nothing is downloaded


def _of_disk(
    error: BaseException, staging: pathlib.Path, target: pathlib.Path
) -> OSError | None:
    """Returns an error that names `target` if it cannot be written, else None.

    TensorFlow raises no OSError, and TFDS wraps its errors.
    """
    cause: BaseException | None = error
    while cause is not None:
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            reason = os.strerror(code)
            if getattr(cause, "errno", None) == code or reason in str(cause):
                return OSError(code, reason, os.fspath(target))
        if isinstance(cause, OSError) and os.fspath(staging) in str(cause.filename):
            return OSError(cause.errno, cause.strerror, os.fspath(target))
        cause = cause.__cause__
    return None


def _beam(options: str) -> Any:
    """Parses the options of a pipeline."""
    try:
        from apache_beam.options import (  # pyright: ignore[reportMissingImports]
            pipeline_options,
        )
    except ImportError:
        raise sources.DatasetError(
            "beam_options needs Apache Beam: pip install 'genomenet[beam]'"
        ) from None
    return pipeline_options.PipelineOptions(shlex.split(options))


def _check_same(builder: base.Recipe, target: pathlib.Path) -> None:
    """Raises an error if the existing dataset has other options."""
    differences = sources.differences(metadata(target), builder.identity())
    if differences:
        raise sources.DatasetError(
            f"{target} exists already, with {', '.join(differences)}: "
            "use overwrite to replace it, or another name"
        )
    integrity.check(target)


def _remove(folder: pathlib.Path) -> None:
    """Removes a folder, if it exists."""
    if folder.exists():
        shutil.rmtree(folder)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Locks a folder against other builds of the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ".lock"
    with file.open("a") as handle:
        if not atomic.lock(handle):
            raise sources.DatasetError(
                f"{folder.name} is being built by another process in {folder.parent}: "
                "wait for it, or use another name"
            )
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.unlink()
                folder.rmdir()  # only if nothing was built
