"""Accuracy, log-loss and calibration of thaw and of common alternatives on the same data."""
