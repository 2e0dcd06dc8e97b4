"""Sequence facts: alphabet, encoding, k-mers, files and windows."""
