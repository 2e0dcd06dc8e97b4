"""Sort-seq of the lac promoter, in a table in this folder."""

from genomenet.data import recipes


class Builder(recipes.LabelledSequences):
    """Mutants of 75 bases, labelled with the mean bin of their sorted cells."""

    TASK = "regression"

    def _sources(self, dl_manager):
        del dl_manager  # nothing to download
        return [self.pkg_dir_path / "lac_promoter.tsv.gz"]
