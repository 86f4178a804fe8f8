"""A PostgreSQL server with a database folder of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from tools.debian_packages import MissingPackageError, install
from tools.services.server_process import HOST, ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_USER = "thaw"
_SYSTEM_USER = "postgres"  # of Debian's package; PostgreSQL refuses to run as root
_PACKAGE = "postgresql"
_PROGRAMS = Path("/usr/lib/postgresql")  # in it: the version, then bin


class Postgres:
    """A running PostgreSQL server whose files are in ``folder``."""

    def __init__(self, folder: Path) -> None:
        """Create the database cluster in ``folder`` and start the server.

        Raises:
            MissingPackageError: PostgreSQL is not installed and cannot be installed.
        """
        self._programs = installed_programs()
        self._folder = folder
        self._system_user = _SYSTEM_USER if os.geteuid() == 0 else None
        self.password = secrets.token_urlsafe(12)
        self.port = free_port()
        self.log = folder / "postgres.log"
        self._create_cluster()
        self._server = self._start()

    def create_database(self, name: str) -> str:
        """Create a database; return its address without a password.

        Clients take the password from the variable PGPASSWORD or the file ``~/.pgpass``.
        """
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name))
            )
        return f"postgresql://{_USER}@{HOST}:{self.port}/{name}"

    def dump(self, name: str) -> bytes:
        """Return the content of a database as SQL."""
        return subprocess.run(
            [str(self._programs / "pg_dump"), self._address(name)], check=True, capture_output=True
        ).stdout

    def restart(self) -> None:
        """Stop the server, which ends all connections, and start it on the same port."""
        self.stop()
        self._server = self._start()

    def stop(self) -> None:
        """Stop the server."""
        self._server.stop()

    def _create_cluster(self) -> None:
        self._folder.mkdir(parents=True)
        secret = self._folder / "password"
        secret.write_text(self.password)
        if self._system_user:
            for path in (self._folder, secret):
                shutil.chown(path, self._system_user, self._system_user)
        command = [
            *[str(self._programs / "initdb"), "--pgdata", str(self._folder / "data")],
            *["--username", _USER, "--pwfile", str(secret), "--auth", "scram-sha-256"],
            *["--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"],
        ]
        subprocess.run(
            command,
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            user=self._system_user,
            group=self._system_user,
            extra_groups=None if self._system_user is None else [],
        )
        secret.unlink()

    def _start(self) -> ServerProcess:
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
        }
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data")]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        server = ServerProcess(
            command,
            environment,
            self.log,
            user=self._system_user,
            stop_signal=signal.SIGINT,  # "fast": ends the connections; SIGTERM waits for them
        )
        server.wait_until(self._accepts_queries)
        return server

    def _accepts_queries(self) -> bool:
        try:
            with psycopg.connect(self._address("postgres"), connect_timeout=2) as connection:
                return bool(connection.execute("SELECT 1").fetchone() == (1,))
        except psycopg.OperationalError:
            return False

    def _address(self, database: str) -> str:
        return f"postgresql://{_USER}:{self.password}@{HOST}:{self.port}/{database}"


def installed_programs() -> Path:
    """Return the folder with `initdb` and `postgres`; install Debian's package if there is none.

    Raises:
        MissingPackageError: they are not installed and cannot be installed here.
    """
    if (found := next(_installed(), None)) is not None:
        return found
    install(_PACKAGE)
    if (found := next(_installed(), None)) is None:
        raise MissingPackageError(f"the package {_PACKAGE} has no server: install PostgreSQL")
    return found


def _installed() -> Iterator[Path]:
    """Yield the folders that have the programs of a server, the latest version first."""
    versions = sorted(
        _PROGRAMS.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    on_path = shutil.which("postgres")
    for folder in [*versions, *([Path(on_path).resolve().parent] if on_path else [])]:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            yield folder
