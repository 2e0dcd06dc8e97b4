"""Objectives, as functions of tensors; keras only."""

from genomenet.losses.reverse_complement import contrast, reverse_complement_contrastive

__all__ = ["contrast", "reverse_complement_contrastive"]
