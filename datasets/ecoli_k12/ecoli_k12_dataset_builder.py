"""Escherichia coli K-12 MG1655, whose genome lies in this folder."""

from genomenet.data import recipes


class Builder(recipes.GenomeChunks):
    """The genome beside this file, cut into chunks."""

    def __init__(self, *, chunk_length=8_192, **kwargs):
        # Half the usual length, so that a split of 5 % fills 16 shards.
        super().__init__(chunk_length=chunk_length, **kwargs)

    def _sources(self, dl_manager):
        del dl_manager  # nothing to download
        return [self.pkg_dir_path / "genome.fa.gz"]
