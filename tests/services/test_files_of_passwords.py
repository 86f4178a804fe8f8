"""The commands of docs/servers.md that create databases, and passwords in files of a user."""

from __future__ import annotations

import os
import secrets
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.services import colleague
from tests.services.secret_search import places_of_secrets
from tools.services.postgres import installed_programs
from tools.services.server_process import HOST

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.servers import Servers

pytestmark = pytest.mark.services

_ROLE, _DATABASE = "flora", "studies_of_flora"


def test_a_search_with_advice_reads_the_passwords_of_all_servers_from_files(
    servers: Servers, photos: Path, tmp_path: Path
) -> None:
    password = secrets.token_urlsafe(12)
    _as_administrator(servers, "createuser", "--pwprompt", _ROLE, answers=[password, password])
    _as_administrator(servers, "createdb", "--owner", _ROLE, _DATABASE)
    home = tmp_path / "home"
    port = servers.database.port
    _write_secret(home / ".pgpass", f"{HOST}:{port}:*:{_ROLE}:{password}\n")
    _write_secret(
        home / ".mlflow" / "credentials",
        "[mlflow]\n"
        f"mlflow_tracking_username = {servers.account}\n"
        f"mlflow_tracking_password = {servers.password}\n",
    )
    given = {"HOME": str(home), "MLFLOW_TRACKING_URI": servers.mlflow.uri}
    project = colleague.new_project(tmp_path / "colours", photos, given)
    project.set(
        search__storage=f"postgresql://{_ROLE}@{HOST}:{port}/{_DATABASE}", search__confirm_seeds=0
    )
    project.commit("search")
    project.run("dvc", "repro", "prepare")
    project.run("thaw", "advise", "--apply")
    assert "--apply" in project.run("thaw", "search", "--trials", "2", "--device", "cpu")
    assert "MLflow: answers" in project.run("thaw", "doctor")
    assert places_of_secrets(servers, [project], [_DATABASE]) == []

    (home / ".pgpass").unlink()
    assert "no password supplied" in project.run("thaw", "search", "--show", code=2)


def _as_administrator(servers: Servers, *command: str, answers: list[str] | None = None) -> None:
    """Run a program of PostgreSQL as the administrator; ``answers`` are its questions'."""
    database = servers.database
    subprocess.run(
        [str(installed_programs() / command[0]), *command[1:]],
        check=True,
        env={
            **os.environ,
            "PGHOST": HOST,
            "PGPORT": str(database.port),
            "PGUSER": "thaw",
            "PGPASSWORD": database.password,
        },
        input="".join(f"{answer}\n" for answer in answers or []),
        text=True,
        start_new_session=True,  # without a terminal, passwords are read from standard input
        timeout=60,
    )


def _write_secret(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(content)
