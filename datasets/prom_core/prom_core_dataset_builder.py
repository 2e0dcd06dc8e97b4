"""Prom-core: core promoters, 70 bases; a few-shot task."""

from typing import ClassVar

from genomenet.data import recipes


class Builder(recipes.FewShot):
    """Sequences of 70 bases: promoter or not."""

    FOLDER = "Prom-core"
    CLASSES = ("0", "1")
    TEST: ClassVar = {"0": 2_926, "1": 2_994}
