"""The human genome, GRCh38: chromosomes 1 to 22, X and Y."""

from typing import ClassVar

from genomenet.data import recipes

URL = (
    "https://ftp.ncbi.nlm.nih.gov/genomes/all/GCA/000/001/405/GCA_000001405.15_GRCh38/"
    "seqs_for_alignment_pipelines.ucsc_ids/"
    "GCA_000001405.15_GRCh38_no_alt_analysis_set.fna.gz"
)

LENGTHS = {
    "chr1": 248_956_422,
    "chr2": 242_193_529,
    "chr3": 198_295_559,
    "chr4": 190_214_555,
    "chr5": 181_538_259,
    "chr6": 170_805_979,
    "chr7": 159_345_973,
    "chr8": 145_138_636,
    "chr9": 138_394_717,
    "chr10": 133_797_422,
    "chr11": 135_086_622,
    "chr12": 133_275_309,
    "chr13": 114_364_328,
    "chr14": 107_043_718,
    "chr15": 101_991_189,
    "chr16": 90_338_345,
    "chr17": 83_257_441,
    "chr18": 80_373_285,
    "chr19": 58_617_616,
    "chr20": 64_444_167,
    "chr21": 46_709_983,
    "chr22": 50_818_468,
    "chrX": 156_040_895,
    "chrY": 57_227_415,
}


class Builder(recipes.GenomeChunks):
    """The 24 chromosomes, recognised by their lengths under any record name."""

    # A copy with masked repeats has the same lengths, but half of it is N. More than
    # half of Y is N anyway.
    KNOWN: ClassVar = {
        name: recipes.Known(length=length, max_n=0.7 if name == "chrY" else 0.3)
        for name, length in LENGTHS.items()
    }
    MANUAL_FILES = recipes.SEQUENCE_FILES
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"Fetch {URL}, or other files with all chromosomes of GRCh38, and give their "
        "folder as --manual_dir."
    )

    def _sources(self, dl_manager):
        return [dl_manager.download(URL)]
