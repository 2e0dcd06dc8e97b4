"""Binding sites of OCT4 against those of MAFK, in a table in this folder."""

from typing import ClassVar

from genomenet.data import recipes

VALIDATION = {"chr7"}
TEST = {"chr1", "chr8", "chr20"}


class Builder(recipes.LabelledSequences):
    """Peaks of 200 bases, split by chromosome."""

    CLASSES = ("MAFK", "OCT4")
    COLUMNS: ClassVar = {"interval": "id"}

    def _sources(self, dl_manager):
        del dl_manager  # nothing to download
        return [self.pkg_dir_path / "oct4_mafk.tsv.gz"]

    def split_of(self, row):
        """Returns the split of a row, which depends on its chromosome."""
        chromosome = row.id.partition(":")[0]
        if chromosome in TEST:
            return "test"
        return "validation" if chromosome in VALIDATION else "train"
