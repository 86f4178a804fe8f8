"""The servers of the tests with the marker ``services``: started once, stopped at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import tiny
from tests.services.colleague import Colleague, digits_project
from tests.services.servers import Servers, running_servers
from tools.debian_packages import MissingPackageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL, S3 and MLflow on free ports of the loopback interface."""
    try:
        with running_servers() as running:
            yield running
    except MissingPackageError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def digits(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Colleague:
    """The digits after `dvc repro` on the servers, committed; tests work in copies of it."""
    folder = tmp_path_factory.mktemp("digits") / "project"
    project = digits_project(folder, servers.variables)
    project.run("dvc", "repro")
    project.commit("first")
    return project


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images of 32 x 32 pixels in three classes."""
    return tiny.images(tmp_path_factory.mktemp("images") / "photos", each=20, size=32)
