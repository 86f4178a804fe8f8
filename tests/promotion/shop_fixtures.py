"""Fixtures: projects with a store in SQLite and on a server."""

from __future__ import annotations

import pytest

from tests.promotion.offered import Shop


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("project")
    return Shop(folder, f"sqlite:///{folder}/mlruns/mlflow.db")


@pytest.fixture(scope="session")
def remote(server: str, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("project"), server)


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
