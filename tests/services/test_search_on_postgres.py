from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from tests.services import colleague

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.conftest import Servers

pytestmark = pytest.mark.services

_TRIALS = 12
_ENDED = "SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')"


def test_a_search_survives_a_restart_of_the_database_and_a_killed_worker(
    servers: Servers, photos: Path, tmp_path: Path
) -> None:
    project = colleague.new_project(tmp_path / "colours", photos, servers.variables)
    address = servers.database.create_database("studies")
    project.set(search__storage=address, search__confirm_seeds=0, search__pruner="none")
    project.commit("search")
    project.run("dvc", "repro", "prepare")
    command = ("thaw", "search", "--trials", str(_TRIALS), "--workers", "3", "--device", "cpu")
    with _ended_afterwards(project.start(*command)) as search:
        _wait_for_trials(servers, 2, search)
        _worker(search.pid).kill()
        _wait_for_trials(servers, 4, search)
        servers.database.restart()
        output, _ = search.communicate(timeout=300)
    if search.returncode != 0:  # the database was away for too long for one request
        assert "the same command continues the search" in output
        output += project.run(*command)

    trials = _rows(servers, "SELECT state, trial_id FROM trials")
    repeats = _rows(
        servers,
        "SELECT value_json FROM trial_system_attributes WHERE key = 'failed_trial'",
    )
    assert [state for state, _ in trials].count("COMPLETE") == _TRIALS
    assert len(trials) - len(repeats) == _TRIALS, "each trial counts once"
    assert len(repeats) >= 1, "the trial of the killed worker is tried again"
    assert not any(secret in output for secret in servers.secrets)
    assert colleague.files_with(servers.secrets, project.folder) == []


@contextlib.contextmanager
def _ended_afterwards(search: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """End ``search`` after the block, also if the block fails. Its workers end with it."""
    try:
        yield search
    finally:
        search.kill()
        search.wait()


def _worker(search: int) -> psutil.Process:
    """Return a process of ``search`` that runs trials."""
    children = psutil.Process(search).children(recursive=True)
    return next(one for one in children if "thaw.search.worker" in one.cmdline())


def _wait_for_trials(servers: Servers, count: int, search: subprocess.Popen[str]) -> None:
    """Wait until ``count`` trials have ended."""
    deadline = time.monotonic() + 240
    while not (rows := _ended(servers)) or rows < count:
        if search.poll() is not None or time.monotonic() > deadline:
            search.kill()
            raise AssertionError(search.communicate()[0])
        time.sleep(0.3)


def _ended(servers: Servers) -> int:
    try:
        return int(_rows(servers, _ENDED)[0][0])
    except psycopg.errors.UndefinedTable:  # no worker has created the tables yet
        return 0


def _rows(servers: Servers, query: str) -> list[tuple[Any, ...]]:
    database = servers.database
    address = f"postgresql://thaw:{database.password}@127.0.0.1:{database.port}/studies"
    with psycopg.connect(address) as connection:
        return list(connection.execute(query.encode()).fetchall())
