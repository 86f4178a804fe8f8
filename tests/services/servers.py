"""The servers of a team on loopback, and the account with which a colleague uses them."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tools.services.mlflow_server import MlflowServer
from tools.services.object_store import ObjectStore
from tools.services.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

_ACCOUNT = "ada"


@dataclass(frozen=True)
class Servers:
    """The running servers, and the account with which tests log in to MLflow."""

    database: Postgres
    store: ObjectStore
    mlflow: MlflowServer
    account: str
    password: str

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables with which a colleague uses all of them."""
        return {
            **self.store.variables,
            "MLFLOW_TRACKING_URI": self.mlflow.uri,
            "MLFLOW_TRACKING_USERNAME": self.account,
            "MLFLOW_TRACKING_PASSWORD": self.password,
            "PGPASSWORD": self.database.password,
        }

    @property
    def secrets(self) -> list[str]:
        """Return what must not be in any file, log or run."""
        return [*self.mlflow.secrets, self.database.password, self.store.secret]

    @property
    def logs(self) -> list[Path]:
        """Return the files with the output of the servers."""
        return [self.database.log, self.store.log, self.mlflow.log]


@contextlib.contextmanager
def running_servers() -> Iterator[Servers]:
    """Run PostgreSQL, S3 and MLflow on free ports of the loopback interface during the block.

    Raises:
        MissingPackageError: PostgreSQL is not installed and cannot be installed.
    """
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory(prefix="thaw-services-")))
        # PostgreSQL runs under another account, to which the folder is closed otherwise.
        folder.chmod(0o711)
        database = Postgres(folder / "postgres")
        running.callback(database.stop)
        store = ObjectStore(folder / "s3")
        running.callback(store.stop)
        mlflow = MlflowServer(folder / "mlflow", database, store)
        running.callback(mlflow.stop)
        password = secrets.token_urlsafe(16)
        mlflow.create_account(_ACCOUNT, password)
        yield Servers(database, store, mlflow, _ACCOUNT, password)
