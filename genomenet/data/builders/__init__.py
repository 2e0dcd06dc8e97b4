"""The base recipes of datasets."""
