"""Sort-seq of the lac promoter, in a table in this folder."""

from genomenet.data import recipes


class Builder(recipes.LabelledSequences):
    """Mutants of 75 bases, and the mean bin into which their cells were sorted."""

    TASK = "regression"

    def _sources(self, dl_manager):
        del dl_manager  # nothing to download
        return [self.pkg_dir_path / "lac_promoter.tsv.gz"]
