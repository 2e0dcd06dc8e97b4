"""Sequence motifs: discovery, comparison with databases, files and reports."""
