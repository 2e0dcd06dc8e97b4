"""Sequence motifs: found in sequences, in what a model looked at, and named."""
