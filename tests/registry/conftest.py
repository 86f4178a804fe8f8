from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.promotion.shop_fixtures import any_shop, local, remote, shop
from tests.store_fixtures import _mlflow_as_it_was, server

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["_mlflow_as_it_was", "any_shop", "local", "remote", "server", "shop"]


@pytest.fixture(autouse=True)
def _outside_of_a_project(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Work in an empty folder: messages name other commands where the project has a result."""
    folder = tmp_path_factory.getbasetemp() / "outside"
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    return folder
