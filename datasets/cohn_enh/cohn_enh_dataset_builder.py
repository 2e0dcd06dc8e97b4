"""Cohn-enh: human enhancers, 500 bases; a few-shot task."""

from genomenet.data import recipes


class Builder(recipes.FewShot):
    """Sequences of 500 bases: enhancer or not."""

    FOLDER = "Cohn-enh"
    CLASSES = ("0", "1")
