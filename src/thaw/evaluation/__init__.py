"""Scores and pictures of a model's predictions."""
