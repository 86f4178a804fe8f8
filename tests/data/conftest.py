"""Fixtures of the tests of ``thaw.data``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests import settings
from thaw.data import manifest
from thaw.data.manifest import Row
from thaw.data.pack_writer import PackWriter
from thaw.data.prepared import Prepared

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Return 20 images of two sizes in two classes; every second one is in the training split."""
    config = settings.prepare(
        val_fraction=0.2, test_fraction=0.2, short_side=64, encoding="raw", max_megapixels=1.0
    )
    generator = np.random.default_rng(0)
    sides = [16 if number % 3 else 24 for number in range(20)]
    with PackWriter(tmp_path, config) as writer:
        for side in sides:
            writer.add(generator.integers(0, 256, (side, side, 3), dtype=np.uint8))
    rows = [
        Row(number, f"{number}.png", "", "ab"[number // 5 % 2], ["train", "val"][number % 2], 9, 9)
        for number in range(20)
    ]
    manifest.write(rows, tmp_path)
    return Prepared(tmp_path)
