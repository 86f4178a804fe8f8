"""Fixtures: projects with a store in SQLite and on a server."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.promotion.offered import Shop

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.getbasetemp() / "local-shop"
    return _shop(folder, f"sqlite:///{folder}/mlruns/mlflow.db")


@pytest.fixture(scope="session")
def remote(server: str, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return _shop(tmp_path_factory.getbasetemp() / "remote-shop", server)


@cache  # the tests of several folders share it
def _shop(folder: Path, uri: str) -> Shop:
    folder.mkdir()
    return Shop(folder, uri)


@pytest.fixture(params=["local", pytest.param("remote", marks=pytest.mark.soak)])
def shop(request: pytest.FixtureRequest) -> Shop:
    """A project with its store in SQLite; in the soak also on a server, over REST."""
    found: Shop = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["local", "remote"])
def any_shop(request: pytest.FixtureRequest) -> Shop:
    """A project with its store in SQLite, and one on a server, over REST."""
    found: Shop = request.getfixturevalue(request.param)
    return found
