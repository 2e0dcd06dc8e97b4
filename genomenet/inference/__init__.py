"""Applies models to sequence files: streams windows and writes tables."""
