"""The images of a small training phase, and a cache for their activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.training import phase
from thaw.training.activation_cache import Cache

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.data.loading import ImageSource


@pytest.fixture
def train(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "train")


@pytest.fixture
def val(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "val", phase.VAL)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 1e9, "data")
