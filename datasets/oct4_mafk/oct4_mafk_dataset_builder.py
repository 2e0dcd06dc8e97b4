"""Binding sites of two transcription factors: OCT4 against MAFK."""

from typing import ClassVar

from genomenet.data import recipes

VALIDATION = {"chr7"}
TEST = {"chr1", "chr8", "chr20"}


class Builder(recipes.LabelledSequences):
    """Peaks of 200 bases, split by chromosome."""

    CLASSES = ("MAFK", "OCT4")
    COLUMNS: ClassVar = {"interval": "id"}
    MANUAL_FILES = ("oct4_mafk.tsv.gz", "oct4_mafk.tsv")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Give --manual_dir, a folder with oct4_mafk.tsv or oct4_mafk.tsv.gz: a table "
        "with the columns interval (as chr1:15710957-15711157), sequence and label "
        "(OCT4 or MAFK). The README of this dataset says where the peaks come from."
    )

    def split_of(self, row):
        """Returns the split of a row, by its chromosome."""
        chromosome = row.id.partition(":")[0]
        if chromosome in TEST:
            return "test"
        return "validation" if chromosome in VALIDATION else "train"
