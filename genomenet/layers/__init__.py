"""Reusable Keras layers and tensor functions; keras only."""
