"""Splice-40: splice sites, 40 bases, three classes; a few-shot task."""

from typing import ClassVar

from genomenet.data import recipes


class Builder(recipes.FewShot):
    """Sequences of 40 bases: one kind of splice site, the other, or none."""

    FOLDER = "Splice-40"
    TRAIN_FILE = "{shots}/train_splice40_{shots}.tsv"
    CLASSES = ("0", "1", "2")
    # The folders hold more examples than their names say; the largest is not counted.
    SHOTS: ClassVar = {10: 100, 50: 500, 100: 1_000, 500: 5_000, 1000: None}
    TEST: ClassVar = {"0": 1_048, "1": 986, "2": 966}
