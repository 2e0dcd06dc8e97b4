"""Converts weights from and to other libraries."""
