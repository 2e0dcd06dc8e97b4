"""Evaluation of models: metrics with intervals, baselines, plots and tables."""
