"""The species that a read of 150 bases is from: four bacteria, unseen strains."""

from typing import ClassVar

from genomenet.data import recipes

ECOLI, HPYLORI, SAUREUS, VCHOLERAE = SPECIES = (
    "Escherichia coli",
    "Helicobacter pylori",
    "Staphylococcus aureus",
    "Vibrio cholerae",
)
# If there is no third strain that differs, the last tenth of the training strain is
# used for validation.
ALSO_VALIDATION = 0.1


def genome(label, split, length, validation=0.0):
    """Returns a genome with the class and split of its reads."""
    return recipes.Genome(
        label=label, split=split, length=length, validation=validation
    )


class Builder(recipes.LabelledReads):
    """Reads of complete genomes; strains of the test set are in no other split."""

    CLASSES = SPECIES
    LENGTH = 150
    READS: ClassVar = {"train": 25_000, "validation": 2_500, "test": 5_000}
    GENOMES: ClassVar = {
        # K-12 DH1; 536
        "NC_017625.1": genome(ECOLI, "train", 4_630_707, ALSO_VALIDATION),
        "NC_008253.1": genome(ECOLI, "test", 4_938_920),
        # G27, ELS37; Gambia94/24; Puno120
        "NC_011333.1": genome(HPYLORI, "train", 1_652_982),
        "NC_017063.1": genome(HPYLORI, "train", 1_664_587),
        "NC_017371.1": genome(HPYLORI, "validation", 1_709_911),
        "NC_017378.1": genome(HPYLORI, "test", 1_624_979),
        # COL, JKD6008; N315; RF122
        "NC_002951.2": genome(SAUREUS, "train", 2_809_422),
        "NC_017341.1": genome(SAUREUS, "train", 2_924_344),
        "NC_002745.2": genome(SAUREUS, "validation", 2_814_816),
        "NC_007622.1": genome(SAUREUS, "test", 2_742_531),
        # N16961, both chromosomes; O395, both chromosomes
        "AE003852.1": genome(VCHOLERAE, "train", 2_961_149, ALSO_VALIDATION),
        "AE003853.1": genome(VCHOLERAE, "train", 1_072_315, ALSO_VALIDATION),
        "CP001235.1": genome(VCHOLERAE, "test", 3_024_078),
        "CP001236.1": genome(VCHOLERAE, "test", 1_111_222),
    }
