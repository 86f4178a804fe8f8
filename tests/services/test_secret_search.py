"""The search for secrets finds those that a test has stored."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.services.colleague import Colleague
from tests.services.secret_search import places_of_secrets

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.servers import Servers

pytestmark = pytest.mark.services

_PLANTED = "planted"  # a bucket, and a database


def test_each_secret_is_found_in_a_file_a_commit_an_output_a_row_and_an_object(
    servers: Servers, tmp_path: Path
) -> None:
    servers.mlflow.create_account("eve", "another long password")
    servers.store.create_bucket(_PLANTED)
    address = servers.database.create_database(_PLANTED)
    assert len(servers.secrets) >= 10, (
        "three accounts, with and without names; two keys, two servers"
    )
    encoded = base64.b64encode(servers.secrets[0].encode()).decode()
    for number, secret in enumerate([*servers.secrets, encoded]):
        text = f"a {secret} b"
        project = Colleague(tmp_path / f"project-{number}", servers.variables)
        project.folder.mkdir()
        project.run("git", "init", "--quiet")
        passing = project.folder / "passing.txt"
        passing.write_text(text)
        project.commit("with a secret")
        passing.unlink()  # what git has of it is compressed
        (project.folder / "file.txt").write_text(text)
        project.output += text
        with psycopg.connect(address, password=servers.database.password) as connection:
            connection.execute("DROP TABLE IF EXISTS notes")
            connection.execute("CREATE TABLE notes (text TEXT)")
            connection.execute("INSERT INTO notes VALUES (%s)", (text,))
        servers.store.write(_PLANTED, "object", text.encode())
        try:
            found = places_of_secrets(servers, [project], [_PLANTED])
        finally:
            servers.store.delete(_PLANTED, "object")  # other tests search all buckets
        assert set(found) == {
            str(project.folder / "file.txt"),
            f"commits in {project.folder}",
            f"output of commands in {project.folder}",
            f"database {_PLANTED}",
            f"s3://{_PLANTED}/object",
        }
