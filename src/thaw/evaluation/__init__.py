"""Scores, plots and tables of a model's predictions."""
