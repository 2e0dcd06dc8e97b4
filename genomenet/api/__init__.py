"""High-level interface: models that take sequences and labels directly."""
