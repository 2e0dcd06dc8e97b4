"""The recipe for reads cut from genomes, labelled with the class of the genome."""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from genomenet.data import sources, tables, tasks
from genomenet.data.builders import labelled_sequences
from genomenet.dna import encode, files, reader, tiling

_URL: Final = (
    "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/efetch.fcgi"
    "?db=nuccore&id={accession}&rettype=fasta&retmode=text"
)
_SEPARATORS: Final = re.compile(r"[|\s]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Genome:
    """A sequence to cut reads from.

    Attributes:
        label: Class of its reads.
        split: Split of its reads.
        length: Its length in bases; not checked if None.
        validation: Share of the sequence, at its end, whose reads are in validation
            instead.
    """

    label: str
    split: str
    length: int | None = None
    validation: float = 0.0


class LabelledReads(labelled_sequences.LabelledSequences, skip_registration=True):
    """Reads of one length from the forward strand of genomes, labelled by genome.

    For each class and split, all windows without N are counted, from the first base
    of the first sequence on, and every k-th window is a read. k is the largest integer
    that gives `READS` reads, so all classes have the same number of reads. The id is
    `accession:start-end`, 0-based, half-open.

    A recipe of the catalogue subclasses this and states `CLASSES`, `GENOMES`,
    `LENGTH` and `READS`. Sequences are recognised by the accession with version in
    their FASTA header; other files and records are ignored.
    """

    BASE = "LabelledReads"

    GENOMES: ClassVar[Mapping[str, Genome]] = {}
    """Accession with version → class and split of its reads."""

    LENGTH: ClassVar[int] = 150
    """Bases in a read."""

    READS: ClassVar[Mapping[str, int]] = {}
    """Split → number of reads of each class."""

    MANUAL_FILES = tuple(
        f"*.{ending}{packed}"
        for ending in ("fa", "fasta", "fna")
        for packed in ("", ".gz", ".bgz")
    )

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put FASTA files with the genomes into a folder, with their accessions in the "
        "headers, and give it as manual_dir. The README of this dataset lists the "
        "accessions."
    )

    _counts: Mapping[tuple[str, str], int] = {}  # set by `_read`

    def files(self, dl_manager: Any) -> list[str]:
        """Returns the files that hold the genomes, downloaded where needed."""
        paths = super().files(dl_manager)
        file_of: dict[str, str] = {}
        for path in paths:
            for accession in filter(None, map(self._accession, _headers(path))):
                if accession in file_of:
                    raise sources.DatasetError(
                        f"{path}: {accession} occurs twice; it is also in "
                        f"{file_of[accession]}"
                    )
                file_of[accession] = path
        if missing := [name for name in self.GENOMES if name not in file_of]:
            raise sources.DatasetError(
                f"{sources.shown(paths)}: no sequence with {', '.join(missing)} in "
                "its header"
            )
        used = set(file_of.values())
        return [path for path in paths if path in used]

    def facts(self, survey: tasks.Survey, splits: Sequence[str]) -> dict[str, Any]:
        """Returns the counts of repeats, the genomes, and k of each class and split.

        Args:
            survey: Survey of the rows.
            splits: Split of each row.

        Returns:
            Name → a JSON value.
        """
        strides: dict[str, dict[str, int]] = collections.defaultdict(dict)
        for label, split in self._counts:
            strides[label][split] = self._stride(label, split)
        return {
            **super().facts(survey, splits),
            "read_length": self.LENGTH,
            "every": strides,
            "genomes": {
                name: dataclasses.asdict(genome)
                for name, genome in self.GENOMES.items()
            },
        }

    def _sources(self, dl_manager: Any) -> list[str]:
        """Downloads the genomes one by one, as NCBI asks for few requests a second."""
        urls = [_URL.format(accession=name) for name in self.GENOMES]
        return [os.fspath(dl_manager.download(url)) for url in urls]

    def _accession(self, header: str) -> str:
        """Returns the accession in a header if its reads are wanted, else ""."""
        words = _SEPARATORS.split(header)
        return next((word for word in words if word in self.GENOMES), "")

    def _read(self, paths: Sequence[str], *args: Any, **kwargs: Any) -> tasks.Survey:
        """Counts the windows, then reads all rows once."""
        counts: collections.Counter[tuple[str, str]] = collections.Counter()
        for _, label, split, _, starts in self._windows(paths):
            counts[label, split] += len(starts)
        self._counts = counts
        for (label, split), count in counts.items():
            if count < self.READS[split]:
                raise sources.DatasetError(
                    f"{sources.shown(paths)}: {count:,} windows of class {label!r} "
                    f"for {split}, but {self.READS[split]:,} reads are needed"
                )
        return super()._read(paths, *args, **kwargs)

    def _rows(
        self, paths: Sequence[str], *, may_lack_label: bool
    ) -> Iterator[tables.Row]:
        """Yields every k-th window of each class and split."""
        del may_lack_label
        before: collections.Counter[tuple[str, str]] = collections.Counter()
        for record, label, split, accession, starts in self._windows(paths):
            stride = self._stride(label, split)
            first = -before[label, split] % stride
            last = self.READS[split] * stride - before[label, split]
            before[label, split] += len(starts)
            for start in starts[first : max(last, 0) : stride].tolist():
                end = start + self.LENGTH
                name = f"{accession}:{start}-{end}"
                yield tables.Row(
                    sequence=encode.decode(record.codes[start:end]),
                    label=label,
                    id=name,
                    split=split,
                    place=f"{record.source}: {name}",
                )

    def _stride(self, label: str, split: str) -> int:
        """Returns k: every k-th window is a read."""
        return self._counts[label, split] // self.READS[split]

    def _windows(
        self, paths: Sequence[str]
    ) -> Iterator[tuple[reader.Record, str, str, str, npt.NDArray[np.int64]]]:
        """Yields record, class, split, accession and starts of windows without N."""
        for record in reader.read(paths, unique=False):
            accession = self._accession(record.name)
            if not accession:
                continue
            genome, length = self.GENOMES[accession], record.codes.size
            if genome.length not in (None, length):
                raise sources.DatasetError(
                    f"{record.source}: {accession} has {length:,} bases, not "
                    f"{genome.length:,}"
                )
            border = length - int(length * genome.validation)
            starts = tiling.starts_without_n(record.codes, self.LENGTH)
            before_border = starts[starts <= border - self.LENGTH]
            yield record, genome.label, genome.split, accession, before_border
            if genome.validation:
                after_border = starts[starts >= border]
                yield record, genome.label, "validation", accession, after_border


def _headers(path: str) -> Iterator[str]:
    """Yields the headers of a FASTA file; nothing for other formats."""
    try:
        with files.opened(path) as (kind, text):
            if kind == files.FASTA:
                yield from (line[1:].rstrip() for line in text if line[0] == ">")
    except files.SequenceFileError:
        return  # the file may be unrelated to the genomes
