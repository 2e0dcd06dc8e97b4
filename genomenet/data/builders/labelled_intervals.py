"""The recipe for labelled intervals of a genome, as in BED files."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from genomenet.data import intervals as intervals_lib
from genomenet.data import sources, tables, tasks
from genomenet.data.builders import labelled_sequences
from genomenet.dna import reader


class LabelledIntervals(labelled_sequences.LabelledSequences, skip_registration=True):
    """Labelled intervals, whose sequences are cut from a genome.

    Intervals are 0-based and half-open; those on strand `-` are reverse-complemented.
    The id is `chr1:100-300`, followed by `(-)` on that strand. Files of intervals are
    plain or gzip, and of two kinds, which differ in their first line:

    - tables with named columns `region` (or `chrom`), `start`, `end`, and optionally
      `strand`, `label` and `split`, as in Genomic Benchmarks;
    - BED, with or without a header line; the fourth column is the label, the sixth
      the strand.

    Without a label, and in BED files whose names are mostly distinct or ".", the
    class is the name of the file up to its first dot, as in `train/positive.csv.gz`.
    Without a split, rows are assigned at random; but if all files lie in folders
    called train, validation or test, and in at least two of these, the folder is the
    split. The metadata note what was derived from names of files and folders.

    The genome is read once for every split and once before, with one contig in memory
    at a time.

    A recipe of the catalogue subclasses this, states `CLASSES`, `MANUAL_FILES` and
    `GENOME_FILES`, and overrides `_sources` and `_genome_sources` if there are files
    to download.

    Args:
        name: Name of the dataset; by default that of the recipe.
        sources: Files of intervals, or class → its files; by default those of the
            recipe. Patterns are allowed.
        genome: Sequence files with all contigs; by default those of the recipe.
        **kwargs: Arguments of `LabelledSequences`.

    Raises:
        DatasetError: If an option is invalid, or sources that are needed to derive
            the classes are not usable.
    """

    BASE = "LabelledIntervals"

    GENOME_FILES: ClassVar[tuple[str, ...]] = ()
    """Patterns of the genome's files in the manual directory, if there is one."""

    def __init__(
        self,
        *,
        name: str | None = None,
        sources: Sequence[str | os.PathLike[str]]
        | Mapping[str, Sequence[str | os.PathLike[str]]] = (),
        genome: Sequence[str | os.PathLike[str]] = (),
        **kwargs: Any,
    ) -> None:
        self.given_genome: Any = [os.fspath(path) for path in genome]
        self._genome: list[str] = []
        self._read_paths: list[str] = []
        super().__init__(name=name, sources=sources, **kwargs)
        # TFDS pickles a builder as the arguments of its constructor.
        self._original_state.update(genome=self.given_genome)

    def files(self, dl_manager: Any) -> list[str]:
        """Returns the files of intervals, and locates those of the genome."""
        if self.given_genome:
            self._genome = reader.expand(self.given_genome)
        elif self.given_sources:
            raise sources.DatasetError("intervals need a genome: give its files")
        else:
            self._genome = self.locate(
                dl_manager, self.GENOME_FILES, self._genome_sources
            )
        return super().files(dl_manager)

    def fingerprints(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Returns the fingerprints of the files, followed by those of the genome."""
        return super().fingerprints(paths) + sources.fingerprints(self._genome)

    def facts(self, survey: tasks.Survey, splits: Sequence[str]) -> dict[str, Any]:
        """Returns further metadata, with what was derived from names of files."""
        result = super().facts(survey, splits)
        paths = list(dict.fromkeys(self._read_paths))
        named = [
            p
            for p in paths
            if p not in self._label_of() and intervals_lib.is_unnamed(p)
        ]
        if named:
            result["labels_from_file_names"] = [os.path.basename(p) for p in named]
        if _splits_by_folder(paths):
            result["splits_from_folders"] = True
        return result

    def _label_of(self) -> dict[str, str]:
        """Returns the label of each file that was given for one class."""
        if not isinstance(self.given_sources, Mapping):
            return {}
        return {
            path: name
            for name, class_paths in self._class_files().items()
            for path in class_paths
        }

    def _genome_sources(self, dl_manager: Any) -> Sequence[str | os.PathLike[str]]:
        """Returns the files of the genome; recipes of the catalogue override this."""
        del dl_manager
        advice = " ".join((self.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
        raise sources.DatasetError(f"{self.name}: no genome. {advice}".rstrip())

    def _rows(
        self, paths: Sequence[str], *, may_lack_label: bool
    ) -> Iterator[tables.Row]:
        """Yields the intervals with their sequences, contig by contig."""
        columns = intervals_lib.REGIONS | dict(self.COLUMNS)
        label_of = self._label_of()
        self._read_paths = list(paths)
        splits = _splits_by_folder(paths)
        intervals = (
            interval
            for path in paths
            for interval in intervals_lib.read(
                path,
                columns=columns,
                label=label_of.get(path),
                split=splits.get(path, ""),
            )
        )
        return intervals_lib.cut(intervals, self._genome, may_lack_label=may_lack_label)


def _splits_by_folder(paths: Sequence[str]) -> dict[str, str]:
    """Returns the split of each file if all folders name splits, else nothing."""
    split_of = {
        path: tables.split_name(pathlib.PurePath(os.path.abspath(path)).parent.name)
        for path in paths
    }
    is_told = all(split_of.values()) and len(set(split_of.values())) > 1
    return split_of if is_told else {}
