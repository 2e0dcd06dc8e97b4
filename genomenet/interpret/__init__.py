"""Explanations of predictions: scores of bases, and regions of high scores."""
