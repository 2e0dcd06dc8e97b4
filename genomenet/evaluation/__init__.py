"""How good a model is: metrics with intervals, baselines, plots and tables."""
