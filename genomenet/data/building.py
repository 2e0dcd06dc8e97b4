"""Building a dataset as a whole or not at all, and finding one that is there."""

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
    """Returns where datasets lie if nothing else is said, as in TFDS."""
    given = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(given).expanduser()


def check_name(name: str) -> str:
    """Returns the name of a dataset to be made.

    Args:
        name: The name.

    Returns:
        The same name.

    Raises:
        DatasetError: If it is none that TFDS accepts.
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
        name: Name of the dataset; or its folder, with or without the version.
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
    """Builds a dataset, unless it is there already.

    It is built beside its place and moved there when it is complete, so that a
    dataset to be replaced stays until then, and an interrupted build leaves nothing
    that looks finished. What a killed build left is removed by the next one.

    Args:
        name: Name of the dataset.
        make: Function that makes its builder for a given folder of datasets.
        data_dir: Folder of all datasets; TFDS's default if None.
        manual_dir: Folder with files that the user fetched.
        overwrite: Whether to replace a dataset that is there.
        show_progress: Whether to show bars.
        beam_options: Options of an Apache Beam pipeline, as `--runner=DirectRunner`;
            None builds in this process.

    Returns:
        Folder of the dataset, and whether it was built now.

    Raises:
        DatasetError: If the dataset is there with other options, another process is
            building it, or its recipe fails.
        SequenceFileError: If a sequence file is not usable as it is.
        OSError: If the dataset cannot be written. It names the dataset.
    """
    root = pathlib.Path(data_dir or default_data_dir()).expanduser()
    if "://" in os.fspath(data_dir or ""):
        raise sources.DatasetError(f"data_dir={data_dir}: use a mounted folder")
    if manual_dir is not None and not any(pathlib.Path(manual_dir).glob("*")):
        raise sources.DatasetError(f"manual_dir={manual_dir} is no folder with files")
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
    """Runs TFDS, without its notes."""
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
    """Returns what says that `target` cannot be written, if that is the error.

    TensorFlow has no OSError, and TFDS wraps its errors.
    """
    cause: BaseException | None = error
    while cause is not None:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            reason = os.strerror(number)
            if getattr(cause, "errno", None) == number or reason in str(cause):
                return OSError(number, reason, os.fspath(target))
        if isinstance(cause, OSError) and os.fspath(staging) in str(cause.filename):
            return OSError(cause.errno, cause.strerror, os.fspath(target))
        cause = cause.__cause__
    return None


def _beam(options: str) -> Any:
    """Reads the options of a pipeline."""
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
    """Refuses to take a dataset for another one of its name."""
    found = sources.differences(metadata(target), builder.identity())
    if found:
        raise sources.DatasetError(
            f"{target} is there already, with {', '.join(found)}: "
            "use overwrite to replace it, or another name"
        )
    integrity.check(target)


def _remove(folder: pathlib.Path) -> None:
    """Removes a folder, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Keeps other builds of the same name out."""
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
