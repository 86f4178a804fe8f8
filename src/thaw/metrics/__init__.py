"""Metrics of predictions: their names, directions and functions, defined once."""
