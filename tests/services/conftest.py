"""The servers of the tests with the marker ``services``: started once, stopped at the end."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from tests import tiny
from tools.services.mlflow_server import MlflowServer
from tools.services.object_store import ObjectStore
from tools.services.postgres import MissingServerError, Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

_ACCOUNT = "ada"


@dataclass(frozen=True)
class Servers:
    """The running servers, and the account with which tests log in to MLflow."""

    database: Postgres
    store: ObjectStore
    mlflow: MlflowServer
    password: str

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables with which a colleague uses all of them."""
        return {
            **self.store.variables,
            "MLFLOW_TRACKING_URI": self.mlflow.uri,
            "MLFLOW_TRACKING_USERNAME": _ACCOUNT,
            "MLFLOW_TRACKING_PASSWORD": self.password,
            "PGPASSWORD": self.database.password,
        }

    @property
    def secrets(self) -> list[str]:
        """Return what must not be in any file, log or run."""
        return [self.password, self.database.password, self.store.secret]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL, S3 and MLflow on free ports of the loopback interface."""
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory(prefix="thaw-services-")))
        # PostgreSQL runs under another account. pytest's folders are closed to it.
        folder.chmod(0o711)
        try:
            database = Postgres(folder / "postgres")
        except MissingServerError as error:
            pytest.skip(str(error))
        running.callback(database.stop)
        store = ObjectStore(folder / "s3")
        running.callback(store.stop)
        mlflow = MlflowServer(folder / "mlflow", database, store)
        running.callback(mlflow.stop)
        password = secrets.token_urlsafe(16)
        mlflow.create_account(_ACCOUNT, password)
        yield Servers(database, store, mlflow, password)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images of 32 x 32 pixels in three classes."""
    return tiny.images(tmp_path_factory.mktemp("images") / "photos", each=20, size=32)
