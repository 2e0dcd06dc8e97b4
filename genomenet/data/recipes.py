"""The base recipes of datasets; those in `datasets/` subclass them."""

from typing import Final

from genomenet.data.builders.few_shot import FewShot
from genomenet.data.builders.genome_chunks import GenomeChunks
from genomenet.data.builders.labelled_intervals import LabelledIntervals
from genomenet.data.builders.labelled_sequences import LabelledSequences
from genomenet.data.builders.reads import Genome, LabelledReads
from genomenet.data.builders.selected_intervals import SelectedIntervals
from genomenet.data.identity import Known

__all__ = [
    "SEQUENCE_FILES",
    "FewShot",
    "Genome",
    "GenomeChunks",
    "Known",
    "LabelledIntervals",
    "LabelledReads",
    "LabelledSequences",
    "SelectedIntervals",
]

SEQUENCE_FILES: Final = tuple(
    f"*.{ending}{compressed}"
    for ending in ("fa", "fasta", "fna", "gb", "gbk", "gbff", "embl", "2bit")
    for compressed in ("", ".gz", ".bgz")
)
"""Patterns of the files in which a recipe may look for its sequences."""
