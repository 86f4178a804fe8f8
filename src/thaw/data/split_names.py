"""Names of the three splits."""

from __future__ import annotations

TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")
