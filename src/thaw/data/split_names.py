"""Names of the three splits."""

from __future__ import annotations

from typing import Final, Literal, get_args

SplitName = Literal["train", "val", "test"]

TRAIN: Final = "train"
VAL: Final = "val"
TEST: Final = "test"
SPLITS: Final[tuple[SplitName, ...]] = get_args(SplitName)
