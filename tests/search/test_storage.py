from __future__ import annotations

import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from sqlalchemy import create_engine, inspect, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from tests.tracking.test_result_run import CAN_MOUNT
from thaw.errors import ThawError
from thaw.search import storage
from thaw.system.sqlite_addresses import address_of

if TYPE_CHECKING:
    from pathlib import Path

_UNSHARE = ("unshare", "--map-root-user", "--mount", "sh", "-c")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////dev/null/search.db",
        "sqlite:////no/such/folder/search.db",
        "nonsense",
        "postgresql://h:1/x",
        "what://x",
    ],
)
def test_a_storage_that_cannot_be_used_is_reported_in_one_line(url: str) -> None:
    with pytest.raises(ThawError, match=r"^search\.storage: .* cannot be used: ") as raised:
        storage.connect(url)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:secret@localhost:1/x",
        "postgresql://me:secret@localhost:port/x",
        "postgresql://localhost:1/x?password=secret",
    ],
)
def test_messages_do_not_contain_the_password(address: str) -> None:
    with pytest.raises(ThawError, match=r"\*\*\*") as raised:
        storage.connect(address)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        ("failed: fe_sendauth: no password supplied", "PGPASSWORD"),
        ('failed: FATAL:  password authentication failed for user "thaw"', "PGPASSWORD"),
        ('failed: FATAL:  database "studies" does not exist', "create it"),
        ("permission denied for schema public", "owner of the database"),
    ],
)
def test_a_refusal_of_postgresql_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, refusal: str, advice: str
) -> None:
    def refuse(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception(refusal))

    monkeypatch.setattr(storage, "HeartbeatStorage", refuse)
    with pytest.raises(ThawError) as raised:
        storage.connect("postgresql://thaw@db.example.org/studies")
    assert refusal in str(raised.value)
    assert advice in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_lock_excludes_others_and_is_free_after_the_block(tmp_path: Path) -> None:
    opened = storage.connect(f"sqlite:///{tmp_path}/search.db")
    inside: list[str] = []

    def enter() -> None:
        with storage.exclusive_lock(opened):
            inside.append("other")

    other = threading.Thread(target=enter)
    with storage.exclusive_lock(opened):
        other.start()
        time.sleep(0.2)
        inside.append("first")
    other.join(10)
    assert inside == ["first", "other"]


def test_a_server_that_refuses_the_lock_is_reported_in_one_line() -> None:
    def refuse() -> None:
        raise OperationalError("SELECT", {}, Exception("server closed the connection\nat once"))

    closed: Any = SimpleNamespace(
        url="postgresql://me:secret@host/x", engine=SimpleNamespace(begin=refuse)
    )
    with (
        pytest.raises(ThawError, match=r"stopped answering: .*closed the connection") as raised,
        storage.exclusive_lock(closed),
    ):
        pass
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        IntegrityError("CREATE TABLE", {}, Exception("duplicate key value violates unique ...")),
        ProgrammingError("CREATE TABLE", {}, Exception('relation "studies" already exists')),
    ],
)
def test_a_database_whose_tables_another_search_creates_at_once_is_opened_again(
    error: DBAPIError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, url = [error, error], f"sqlite:///{tmp_path}/x.db"

    def opened(*_: object) -> storage.HeartbeatStorage:
        if errors:
            raise errors.pop()
        return kept

    kept = storage.HeartbeatStorage(url, {})
    monkeypatch.setattr(storage, "HeartbeatStorage", opened)
    monkeypatch.setattr(storage, "_PAUSE", 0)
    assert storage._open_server(url) is kept
    errors += [error] * 20
    with pytest.raises(type(error)):
        storage._open_server(url)
    errors[:] = [OperationalError("SELECT", {}, Exception("no connection"))]
    with pytest.raises(OperationalError):
        storage._open_server(url)


def test_the_lock_of_a_server_is_one_row_however_often_it_is_created(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/other.db")
    for _ in range(3):
        storage._create_lock_row(engine)
    assert inspect(engine).get_table_names() == ["thaw_lock"]
    with engine.begin() as connection:
        assert connection.execute(select(storage._LOCK_TABLE)).all() == [(1,)]


@pytest.mark.slow
def test_a_failed_heartbeat_does_not_end_the_heartbeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "HEARTBEAT_INTERVAL", 1)
    opened = storage.connect(f"sqlite:///{tmp_path}/search.db")
    real = optuna.storages.RDBStorage.record_heartbeat
    calls: list[int] = []

    def fail_at_first(self: Any, trial_id: int) -> None:
        calls.append(trial_id)
        if len(calls) == 1:
            raise optuna.exceptions.StorageInternalError("the server restarts")
        real(self, trial_id)

    monkeypatch.setattr(optuna.storages.RDBStorage, "record_heartbeat", fail_at_first)
    study = optuna.create_study(storage=opened)

    def wait(_: optuna.Trial) -> float:
        opened.wait_for_heartbeat()
        return 0.0

    opened.forget_heartbeat()
    study.optimize(wait, n_trials=1)
    assert len(calls) == 2
    assert study.trials[0].value == 0.0


@pytest.mark.slow
@pytest.mark.skipif(not CAN_MOUNT, reason="this machine gives no mount namespaces")
@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("folder", ["mlruns", "100%25 a?b#c ü"])
def test_studies_are_read_where_nothing_can_be_written(
    folder: str, is_open: bool, tmp_path: Path
) -> None:
    (tmp_path / folder).mkdir()
    address = address_of(tmp_path / folder / "search.db")
    opened = storage.connect(address)
    optuna.create_study(storage=opened, study_name="one").enqueue_trial({})
    if not is_open:  # the log of the database is written into it, and removed
        opened.engine.dispose()
    assert (tmp_path / folder / "search.db-wal").exists() is is_open
    code = (
        "import optuna, sys; from thaw.search import storage\n"
        "opened = storage.connect_to_read(sys.argv[1])\n"
        "study = optuna.load_study(study_name='one', storage=opened)\n"
        "print(optuna.get_all_study_names(opened), len(study.trials))"
    )
    in_read_only = 'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && exec "$@"'
    done = subprocess.run(
        [*_UNSHARE, in_read_only, "sh", sys.executable, "-c", code, address],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.stdout, done.stderr) == ("['one'] 1\n", "")
