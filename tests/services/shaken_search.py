"""A search on PostgreSQL whose workers are killed and whose database restarts."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import psycopg

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

    from tests.services.colleague import Colleague
    from tests.services.servers import Servers

STUDIES = "studies"
HEADS = "heads"  # a bucket
_ENDED = "SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')"
# Optuna notes all kills before an attempt in `retry_history`. The last attempts alone are counted.
_KILLED_TWICE = """
SELECT 1 FROM trials JOIN trial_system_attributes USING (trial_id)
WHERE state = 'FAIL' AND key = 'retry_history' AND value_json <> '[]'
AND trial_id NOT IN (
    SELECT earlier.trial_id
    FROM trial_system_attributes earlier JOIN trial_system_attributes later USING (key, value_json)
    WHERE key = 'failed_trial' AND later.trial_id > earlier.trial_id
)
"""
_TIMEOUT = 600  # seconds until the next trial has ended
KILL, RESTART = "kill", "restart"


@dataclass(frozen=True)
class Counts:
    """The trials of a study: ``complete`` ones, all ``attempts``, and ``repeats`` among them.

    ``killed_twice`` are those that failed in an attempt which was already the one after a kill.
    """

    complete: int
    attempts: int
    repeats: int
    killed_twice: int

    @property
    def counted(self) -> int:
        """Return the number of trials, each once."""
        return self.attempts - self.repeats


def run_shaken(
    project: Colleague, servers: Servers, trials: int, workers: int, events: Sequence[str]
) -> Counts:
    """Search with ``workers`` until there are ``trials``; return what the database has then.

    ``events`` happen at equal distances: ``KILL`` kills a worker, ``RESTART`` restarts the server.
    """
    set_up_search(project, servers, STUDIES, HEADS)
    command = ("thaw", "search", "--trials", str(trials), "--workers", str(workers))
    with _ended_afterwards(project.start(*command, "--device", "cpu")) as search:
        for number, event in enumerate(events, start=1):
            _wait_for_trials(servers, number * trials // (len(events) + 1), search)
            if event == RESTART:
                servers.database.restart()
            else:
                _worker(search.pid).kill()
        output, _ = search.communicate(timeout=_TIMEOUT * trials)
    project.output += output
    assert search.returncode == 0, output
    return counts_of(servers, STUDIES)


def set_up_search(project: Colleague, servers: Servers, database: str, bucket: str) -> None:
    """Give ``project`` a new database and a new bucket of heads for a search; prepare its data."""
    servers.store.create_bucket(bucket)
    project.set(
        search__storage=servers.database.create_database(database),
        search__artifacts=f"s3://{bucket}",
        search__confirm_seeds=0,
        search__pruner="none",
    )
    project.commit("search")
    project.run("dvc", "repro", "prepare")


def counts_of(servers: Servers, database: str) -> Counts:
    """Return the trials of the study in ``database``."""
    states = [state for (state,) in _rows(servers, "SELECT state FROM trials", database)]
    repeated = "SELECT trial_id FROM trial_system_attributes WHERE key = 'failed_trial'"
    return Counts(
        states.count("COMPLETE"),
        len(states),
        len(_rows(servers, repeated, database)),
        len(_rows(servers, _KILLED_TWICE, database)),
    )


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
    while True:
        for child in psutil.Process(search).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it has ended
                if "thaw.search.worker" in child.cmdline():
                    return child
        time.sleep(0.1)  # until the next one is started


def _wait_for_trials(servers: Servers, count: int, search: subprocess.Popen[str]) -> None:
    """Wait until ``count`` trials have ended."""
    deadline = time.monotonic() + _TIMEOUT
    while _ended(servers) < count:
        if search.poll() is not None or time.monotonic() > deadline:
            search.kill()
            raise AssertionError(search.communicate()[0])
        time.sleep(0.3)


def _ended(servers: Servers) -> int:
    try:
        return int(_rows(servers, _ENDED)[0][0])
    except psycopg.errors.UndefinedTable:  # no worker has created the tables yet
        return 0


def _rows(servers: Servers, query: str, name: str = STUDIES) -> list[tuple[Any, ...]]:
    database = servers.database
    address = f"postgresql://thaw:{database.password}@127.0.0.1:{database.port}/{name}"
    with psycopg.connect(address) as connection:
        return list(connection.execute(query.encode()).fetchall())
