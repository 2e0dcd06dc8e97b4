"""Measurements against peers: `python -m benchmarks.NAME`, one JSON line each."""
