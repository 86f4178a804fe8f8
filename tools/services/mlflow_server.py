"""An MLflow server with accounts, its tables in PostgreSQL, its artifacts in S3."""

from __future__ import annotations

import os
import secrets
import sys
from typing import TYPE_CHECKING, Any

import requests
from cryptography.fernet import Fernet

from tools.services.server_process import HOST, ServerProcess, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tools.services.object_store import ObjectStore
    from tools.services.postgres import Postgres

_BUCKET = "mlflow-artifacts"
_ADMIN = "admin"
NAME = "mlflow.example.org"  # the name of a proxy before the server


class MlflowServer:
    """A running MLflow server with `basic-auth`.

    Clients need no access to PostgreSQL or S3: the server reads and writes the artifacts for them.
    """

    def __init__(self, folder: Path, database: Postgres, store: ObjectStore) -> None:
        """Start the server on a free port; its output is in ``folder``."""
        folder.mkdir(parents=True)
        self.artifacts = _BUCKET
        self._passwords = {_ADMIN: secrets.token_urlsafe(12)}  # of the accounts
        self._keys = [secrets.token_hex(16), Fernet.generate_key().decode()]
        port = free_port()
        self.uri = f"http://{HOST}:{port}"
        store.create_bucket(_BUCKET)
        accounts = folder / "accounts.ini"
        accounts.write_text(_accounts(database.create_database("mlflow_accounts")))
        self.log = folder / "mlflow.log"
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **store.variables,
            "PGPASSWORD": database.password,
            "MLFLOW_AUTH_CONFIG_PATH": str(accounts),
            "MLFLOW_AUTH_ADMIN_PASSWORD": self._passwords[_ADMIN],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self._keys[0],
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_WEBHOOK_CACHE_TTL": "1",  # a new webhook is not known for so many seconds
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": self._keys[1],
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        }
        self._command = [
            *[sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"],
            *["--host", HOST, "--port", str(port), "--workers", "1"],
            # localhost: the proxy of the tests passes its own name on, with a port chosen later.
            *["--allowed-hosts", f"{NAME},{HOST}:{port},localhost:*"],
            *["--cors-allowed-origins", f"https://{NAME}"],
            *["--backend-store-uri", database.create_database("mlflow")],
            *["--artifacts-destination", f"s3://{_BUCKET}"],
        ]
        self.start()

    @property
    def secrets(self) -> list[str]:
        """Return the passwords of all accounts, alone and with their names, and the keys."""
        pairs = [f"{name}:{password}" for name, password in self._passwords.items()]
        return [*self._passwords.values(), *pairs, *self._keys]

    def start(self) -> None:
        """Start the server, at first or after :meth:`kill`, on the same port."""
        self._server = ServerProcess(self._command, self._environment, self.log)
        self._server.wait_until(self._is_healthy)

    def kill(self) -> None:
        """Kill the server. Runs and artifacts stay in PostgreSQL and S3."""
        self._server.kill()

    def create_account(self, name: str, password: str) -> None:
        """Create an account without special rights."""
        self._post("users/create", {"username": name, "password": password})
        self._passwords[name] = password

    def grant(self, name: str, kind: str, which: str, permission: str) -> None:
        """Give the account ``name`` a permission on an experiment (id) or registered model."""
        self._post(
            "users/permissions/grant",
            {
                "username": name,
                "resource_type": kind,
                "resource_id": which,
                "permission": permission,
            },
            version="3.0",
        )

    def create_webhook(self, url: str, secret: str) -> None:
        """Make the server call ``url`` when an alias is set; ``secret`` signs the calls."""
        event = {"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}
        self._post(
            "webhooks", {"name": "champion", "url": url, "events": [event], "secret": secret}
        )
        self._keys.append(secret)

    def _post(self, path: str, content: dict[str, Any], version: str = "2.0") -> None:
        """Send a request as the administrator."""
        answer = requests.post(
            f"{self.uri}/api/{version}/mlflow/{path}",
            json=content,
            auth=(_ADMIN, self._passwords[_ADMIN]),
            timeout=30,
        )
        answer.raise_for_status()

    def stop(self) -> None:
        """Stop the server."""
        self._server.stop()

    def _is_healthy(self) -> bool:
        try:
            return requests.get(f"{self.uri}/health", timeout=2).ok
        except requests.RequestException:
            return False


def _accounts(database: str) -> str:
    """Return the configuration file of `basic-auth`; it has no passwords.

    Without the cache, the server computes the hash of the password in every request, which takes
    0.3 s and more.
    """
    return f"""[mlflow]
default_permission = READ
auth_cache_ttl_seconds = 60
database_uri = {database}
admin_username = {_ADMIN}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""
