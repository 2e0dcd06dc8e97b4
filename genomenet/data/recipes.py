"""The base recipes of datasets; those in `datasets/` subclass them."""

from genomenet.data.chunks import GenomeChunks

__all__ = ["GenomeChunks"]
