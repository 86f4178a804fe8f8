"""Search for passwords in files, commits, databases, objects and logs of a team."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.services.colleague import Colleague
    from tests.services.servers import Servers

_DATABASES = ("mlflow", "mlflow_accounts")
_ALL_OBJECTS = ("git", "cat-file", "--batch", "--batch-all-objects")


def places_of_secrets(
    servers: Servers, projects: Sequence[Colleague], databases: Sequence[str] = ()
) -> list[str]:
    """Return where a password or key of ``servers`` is stored in clear text or as base64.

    The files, commits and outputs of ``projects``, the databases of MLflow, ``databases``, all
    objects in S3, and the logs of the servers are searched.
    """
    searched = _forms(servers.secrets)
    return [
        place
        for places in (
            *(_of_project(project) for project in projects),
            _of_servers(servers, (*_DATABASES, *databases)),
        )
        for place, content in places
        if any(text in content for text in searched)
    ]


def _forms(texts: Sequence[str]) -> list[bytes]:
    return [form for text in texts for form in (text.encode(), base64.b64encode(text.encode()))]


def _of_project(project: Colleague) -> Iterator[tuple[str, bytes]]:
    yield from _files(project.folder)
    yield (
        f"commits in {project.folder}",
        subprocess.run(_ALL_OBJECTS, cwd=project.folder, check=True, capture_output=True).stdout,
    )
    yield f"output of commands in {project.folder}", project.output.encode()


def _of_servers(servers: Servers, databases: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for name in databases:
        yield f"database {name}", servers.database.dump(name)
    for bucket in servers.store.buckets():
        for key in servers.store.keys(bucket):
            yield f"s3://{bucket}/{key}", servers.store.read(bucket, key)
    for log in servers.logs:
        yield str(log), log.read_bytes()


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
