from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.registry.served import model_directory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest model that can be served."""
    folder = tmp_path_factory.mktemp("model")
    model_directory(folder)
    return folder
