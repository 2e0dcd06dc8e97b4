"""Shared parts of the base recipes: options, sources, shards and progress."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core.download import downloader
from tensorflow_datasets.core.utils import shard_utils, tqdm_utils

from genomenet.data import sources
from genomenet.dna import reader

MIN_SHARDS: Final = 16
_RETRIES: Final = 5


class Recipe(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS builder that takes its options as constructor arguments.

    The options do not form a `BuilderConfig`: a dataset always lies in
    `<data_dir>/<name>/<version>`, and its metadata hold the options. A recipe of the
    catalogue is a subclass; a dataset made at run time is an instance with its own
    name and sources.

    Args:
        name: Name of the dataset; by default that of the recipe.
        sources: Files to read; by default those of the recipe.
        options: Options that the result depends on, by the names of the subclass's
            arguments.
        **kwargs: Arguments of `tfds.core.GeneratorBasedBuilder`.
    """

    MANUAL_FILES: ClassVar[tuple[str, ...]] = ()
    """Patterns of the files to take from the manual directory, if there is one."""

    BASE: ClassVar[str] = ""
    """Name of the base recipe, for the metadata."""

    def __init__(
        self,
        *,
        name: str | None,
        sources: Any,
        options: Mapping[str, Any],
        **kwargs: Any,
    ) -> None:
        if name:
            self.name = name  # pyright: ignore[reportAttributeAccessIssue]
        self.options = dict(options)
        self.given_sources = sources
        self.shows_progress = False
        self.beam_is_used = False
        self._open_files = contextlib.ExitStack()
        super().__init__(**kwargs)
        # TFDS pickles a builder as the arguments of its constructor.
        self._original_state.update(name=name, sources=sources, **self.options)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Tells TFDS the folder of a recipe.

        TFDS's own search fails for packages without `importlib_resources`, and for
        editable installs.
        """
        super().__init_subclass__(**kwargs)
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        cls.code_path = epath.Path(file) if file else None
        cls.pkg_dir_path = epath.Path(file).parent if file else None

    def identity(self) -> dict[str, Any]:
        """Returns what identifies this dataset among others of the same name."""
        facts: dict[str, Any] = {"recipe": self.BASE, **self.options}
        if self.given_sources:
            facts["sources"] = self.fingerprints(self.files(None))
        return facts

    def fingerprints(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Returns the fingerprints of the files."""
        return sources.fingerprints(paths)

    def files(self, dl_manager: tfds.download.DownloadManager | None) -> list[str]:
        """Returns the files to read, downloaded where needed."""
        if self.given_sources:
            return reader.expand(self.given_sources)
        return self.locate(dl_manager, self.MANUAL_FILES, self._sources)

    def locate(
        self,
        dl_manager: Any,
        patterns: Sequence[str],
        download: Callable[[Any], Sequence[str | os.PathLike[str]]],
    ) -> list[str]:
        """Returns the matching files of the manual directory, else downloaded files.

        Args:
            dl_manager: Download manager of TFDS.
            patterns: Patterns of the files in the manual directory.
            download: Function that downloads the files with this manager.

        Returns:
            Existing files.

        Raises:
            DatasetError: If the download fails.
        """
        if manual := _manual_files(dl_manager, patterns):
            return manual
        try:
            with _tfds_bars(self.shows_progress), _few_retries():
                paths = [os.fspath(path) for path in download(dl_manager)]
        except sources.DatasetError:
            raise
        except Exception as e:  # its type depends on what fails in the network
            cause = (str(e) or type(e).__name__).splitlines()[0]
            advice = " ".join((self.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
            raise sources.DatasetError(
                f"{self.name}: the download failed: {cause}. {advice}".rstrip()
            ) from e
        return reader.expand(paths)

    def _sources(self, dl_manager: Any) -> Sequence[str | os.PathLike[str]]:
        """Returns the source files; recipes of the catalogue override this."""
        advice = " ".join((self.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
        raise sources.DatasetError(f"{self.name}: no source files. {advice}".rstrip())

    def dataset_info(self, **kwargs: Any) -> tfds.core.DatasetInfo:
        """Returns the info, with the texts of the recipe's folder if there is one."""
        kwargs["metadata"] = tfds.core.MetadataDict()
        if type(self).__module__.startswith(f"{__package__}."):
            return tfds.core.DatasetInfo(builder=self, **kwargs)
        return self.dataset_info_from_configs(**kwargs)

    def note(self, facts: Mapping[str, Any]) -> None:
        """Writes facts into the metadata of the dataset."""
        if self.info.metadata is None:
            raise TypeError(f"{self.name} declares no metadata")
        self.info.metadata.update(facts)

    def _generate_splits(self, dl_manager: Any, download_config: Any) -> Any:
        """Generates all splits, in at least 16 shards each."""
        config = _ManyShards(**vars(download_config))
        with contextlib.ExitStack() as self._open_files, _tfds_bars(False):
            return super()._generate_splits(dl_manager, config)

    def _log_download_bytes(self) -> None:
        """Prints nothing, unlike TFDS."""

    def _log_download_done(self) -> None:
        """Prints nothing, unlike TFDS."""


def _manual_files(dl_manager: Any, patterns: Sequence[str]) -> list[str]:
    """Returns the matching files of the manual directory."""
    if not patterns:
        return []
    try:
        folder = dl_manager.manual_dir
    except AssertionError:  # no manual directory, or an empty one
        return []
    matching = {os.fspath(p) for pattern in patterns for p in folder.glob(pattern)}
    return sorted(matching)


class _ManyShards(tfds.download.DownloadConfig):
    """A download configuration with at least 16 shards where TFDS would choose."""

    def get_shard_config(self) -> shard_utils.ShardConfig:
        """Returns the configuration of shards."""
        return _ShardConfig(**dataclasses.asdict(super().get_shard_config()))


@dataclasses.dataclass(frozen=True)
class _ShardConfig(shard_utils.ShardConfig):
    """A configuration of at least 16 shards, none of them empty."""

    def get_number_shards(
        self, total_size: int, num_examples: int, uses_precise_sharding: bool = True
    ) -> int:
        """Returns the number of shards of a split."""
        number = super().get_number_shards(
            total_size, num_examples, uses_precise_sharding
        )
        return number if self.num_shards else min(max(number, MIN_SHARDS), num_examples)


@contextlib.contextmanager
def _few_retries() -> Iterator[None]:
    """Limits TFDS's retries: without a network it fails after seconds, not minutes."""
    logger = logging.getLogger("urllib3")
    before = downloader.MAX_RETRIES, logger.level
    downloader.MAX_RETRIES = min(_RETRIES, before[0])
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        downloader.MAX_RETRIES = before[0]
        logger.setLevel(before[1])


@contextlib.contextmanager
def _tfds_bars(show: bool) -> Iterator[None]:
    """Shows or hides TFDS's own progress bars."""
    before = tqdm_utils._active
    tfds.display_progress_bar(show)
    try:
        yield
    finally:
        tfds.display_progress_bar(before)
