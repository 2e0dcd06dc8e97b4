"""Human chromosome 20, GRCh37 (hg19)."""

from typing import ClassVar

from genomenet.data import recipes

URL = "https://hgdownload.soe.ucsc.edu/goldenPath/hg19/chromosomes/chr20.fa.gz"


class Builder(recipes.GenomeChunks):
    """One chromosome, recognised by its bases under any file and record name."""

    KNOWN: ClassVar = {
        "chr20": recipes.Known(
            length=63_025_520, md5="0dec9660ec1efaaf33281c0d5ea2560f"
        )
    }
    MANUAL_FILES = recipes.SEQUENCE_FILES
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"Fetch {URL}, or any other file with chr20 of GRCh37, and give its folder as "
        "--manual_dir."
    )

    def _sources(self, dl_manager):
        return [dl_manager.download(URL)]
