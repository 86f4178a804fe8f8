from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.registry.served import model_directory, with_statistics

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest model that can be served."""
    folder = tmp_path_factory.mktemp("model")
    model_directory(folder)
    return folder


@pytest.fixture(scope="module")
def watched(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the statistics that a drift score needs, of noise as `image()` makes it."""
    folder = tmp_path_factory.mktemp("watched")
    with_statistics(model, folder)
    return folder
