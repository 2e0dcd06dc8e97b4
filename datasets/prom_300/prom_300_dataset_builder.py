"""Prom-300: promoters, 300 bases; a few-shot task."""

from genomenet.data import recipes


class Builder(recipes.FewShot):
    """Sequences of 300 bases: promoter or not."""

    FOLDER = "Prom-300"
    CLASSES = ("0", "1")
