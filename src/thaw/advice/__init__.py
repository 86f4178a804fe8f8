"""Measurements of the data, and recommended training parameters."""
