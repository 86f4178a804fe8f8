"""The MLflow run of a stage that trains, written by a thread, so that training never waits for it.

What the stage logs goes to the spool first. A thread delivers it while the store answers. If the
store does not answer, at the start or later, the stage trains on. What is left at its end is
delivered by the next stage, or by `thaw repair`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.system.console import say, warn
from thaw.system.sqlite_addresses import is_sqlite
from thaw.tracking import spool
from thaw.tracking.delivery import Delivery, deliver_waiting
from thaw.tracking.outages import StoreOutageError
from thaw.tracking.run_identity import identify
from thaw.tracking.run_lookup import open_run
from thaw.tracking.run_owner import noting_failure, stop_tags
from thaw.tracking.spool import Spool
from thaw.tracking.store import connect, store_errors, store_uri
from thaw.tracking.system_metrics import measuring

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from thaw.config.params import Params
    from thaw.training.history import EpochRow

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds between attempts to reach the store
# Seconds without an answer after which the stage starts or ends without the store.
_SERVER_PATIENCE, _FILE_PATIENCE = 1.0, 10.0


class LiveRun:
    """The run of one pipeline result while a stage of it trains."""

    def __init__(self, params: Params, data_digest: str) -> None:
        """Start to find or create the run.

        Raises:
            ThawError: the store refuses what the parameters say. A store that does not answer is
                no error.
        """
        self._tracking = params.tracking
        self._identity = identify(params, data_digest)
        is_file = is_sqlite(store_uri(params.tracking))
        self._patience = _FILE_PATIENCE if is_file else _SERVER_PATIENCE
        self._spool = Spool(self._identity)
        self._delivery: Delivery | None = None
        self._delivered = 0
        self._answered = time.monotonic()
        self._refusal: ThawError | None = None
        self._warned = False
        self._first_attempt, self._news, self._ends = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._work, name="MLflow", daemon=True)
        self._thread.start()
        self._first_attempt.wait(self._patience)
        self._raise_refusal()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Log metrics of the machine while a stage works.

        If the stage fails or is stopped, the run becomes FAILED or KILLED. Otherwise it stays
        RUNNING for the next stage.

        Raises:
            KeyboardInterrupt: the stage was interrupted.
            SystemExit: the stage was told to stop.
        """
        try:
            with (
                noting_failure(lambda *failure: self._end(name, *failure)),
                measuring(self._tracking.system_metrics_seconds, self._log_system_metrics),
            ):
                yield
        finally:
            self._close()

    def _end(self, stage: str, status: str, reason: str) -> None:
        self._add({spool.TAGS: stop_tags(stage, reason)})
        self._add({spool.STATUS: status})

    def log_row(self, stage: str, row: EpochRow, *, with_validation: bool = True) -> None:
        """Log a finished epoch, without the validation scores if they do not count.

        Raises:
            ThawError: the store refused the run at the first attempt to open it, which took longer
                than the start of this stage waited.
        """
        self._raise_refusal()
        self._add(spool.epoch_entry(stage, row, with_validation=with_validation))

    def computed(self, stage: str, digest: str) -> None:
        """Record that ``stage`` of this run made the model with ``digest``."""
        self._add({spool.TAGS: {f"{stage}.model": digest}})

    def _log_system_metrics(self, values: Mapping[str, float]) -> None:
        self._add(spool.system_entry(values))

    def _add(self, entry: spool.Entry) -> None:
        self._spool.add(entry)
        self._news.set()

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _work(self) -> None:
        """Deliver the entries as they come, until the stage ends and all are delivered."""
        pause = _FIRST_PAUSE
        while True:
            self._news.clear()
            is_last = self._ends.is_set()
            error = self._attempt()
            self._first_attempt.set()
            if error is None:
                if is_last and self._is_done():
                    return
                pause = _FIRST_PAUSE
                self._news.wait()
            elif is_last or not isinstance(error, StoreOutageError):
                return
            else:
                self._ends.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _attempt(self) -> ThawError | None:
        """Deliver the entries; return the error of the store, and warn of an outage once."""
        try:
            self._deliver()
        except ThawError as error:
            if not (isinstance(error, StoreOutageError) or self._first_attempt.is_set()):
                self._refusal = error
            elif not self._warned:
                self._warned = True
                warn(f"{error}; training continues, the epochs are kept in {self._spool.shown}")
            return error
        return None

    def _deliver(self) -> None:
        """Open the run, unless it is open, and log what it does not have yet."""
        if self._delivery is None:
            self._open()
        assert self._delivery is not None
        count = len(self._spool.entries)
        with store_errors(store_uri(self._tracking)):
            self._delivery.send(self._spool.entries[self._delivered : count])
        if self._warned:
            say("MLflow answers again, and has all epochs")
        self._delivered, self._warned, self._answered = count, False, time.monotonic()

    def _open(self) -> None:
        client, experiment_id = connect(self._tracking)
        self._answered = time.monotonic()
        deliver_waiting(self._tracking)
        self._answered = time.monotonic()
        with store_errors(store_uri(self._tracking)):
            run = open_run(client, experiment_id, self._identity)
            self._spool.add({spool.RUN: run.info.run_id})
            self._delivery = Delivery(client, client.get_run(run.info.run_id))

    def _is_done(self) -> bool:
        return self._delivered == len(self._spool.entries)

    def _close(self) -> None:
        """Wait until all is delivered, but no longer than the patience without an answer."""
        self._ends.set()
        self._news.set()
        started = time.monotonic()
        while self._thread.is_alive():
            self._thread.join(0.05)
            if time.monotonic() - max(started, self._answered) > self._patience:
                break
        if self._delivery is not None and self._is_done():
            self._spool.remove()
            return
        if not self._thread.is_alive():
            self._spool.close()
        warn(
            "not all epochs are in MLflow: the next stage, or `thaw repair`, delivers them from "
            f"{self._spool.shown}"
        )
