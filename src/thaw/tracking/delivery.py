"""Deliver spooled entries to MLflow: in their order, each one once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from thaw.errors import ThawError
from thaw.system.console import warn
from thaw.tracking import spool
from thaw.tracking.outages import StoreOutageError, is_outage
from thaw.tracking.run_description import with_note
from thaw.tracking.run_logging import log_in_batches
from thaw.tracking.run_lookup import create, find
from thaw.tracking.run_owner import DESCRIPTION
from thaw.tracking.store import connect, store_errors, store_uri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from thaw.config.result_sections import Tracking
    from thaw.tracking.run_identity import RunIdentity
    from thaw.tracking.spool import Entry

_SYSTEM = "system/"  # as MLflow names metrics of the machine


class Delivery:
    """The entries that one run has.

    An entry keeps the time at which it was made. So a request that is repeated after an error,
    although the server had done it, adds nothing: MLflow stores a metric of the same step, time and
    value once. Another machine that computes the same result logs to the same run, with times of
    its own, so what the run has is read again before epochs are logged.
    """

    def __init__(self, client: MlflowClient, run: Run) -> None:
        """Read from ``run`` what it has: it must be as the store has it now."""
        self._client, self._run_id = client, run.info.run_id
        self._steps = _last_steps(run)
        logged = run.data._metric_objs
        system = [metric for metric in logged if metric.key.startswith(_SYSTEM)]
        self._system_step = max((metric.step for metric in system), default=-1)
        self._system_time = max((metric.timestamp for metric in system), default=0)

    def send(self, entries: Sequence[Entry]) -> None:
        """Log ``entries`` that the run does not have yet.

        If an error stops it, the same entries can be sent again.
        """
        if any(spool.METRICS in entry for entry in entries):
            self._steps |= _last_steps(self._client.get_run(self._run_id))
        metrics, system = self._new_metrics(entries), self._new_system_metrics(entries)
        tags = {key: value for entry in entries for key, value in entry.get(spool.TAGS, {}).items()}
        if DESCRIPTION in tags:
            described = self._client.get_run(self._run_id).data.tags
            tags |= with_note(described, tags[DESCRIPTION])
        log_in_batches(self._client, self._run_id, metrics=[*metrics, *system], tags=tags)
        for status in [entry[spool.STATUS] for entry in entries if spool.STATUS in entry][-1:]:
            self._client.set_terminated(self._run_id, status)
        self._steps |= {metric.key: metric.step for metric in metrics}
        for metric in system:
            self._system_step, self._system_time = metric.step, metric.timestamp

    def _new_metrics(self, entries: Sequence[Entry]) -> list[Metric]:
        found, steps = [], dict(self._steps)
        for entry in entries:
            for key, value in entry.get(spool.METRICS, {}).items():
                step = entry[spool.STEP]
                if step > steps.get(key, -1):
                    steps[key] = step
                    found.append(Metric(key, value, entry[spool.TIME], step))
        return found

    def _new_system_metrics(self, entries: Sequence[Entry]) -> list[Metric]:
        new = [
            entry
            for entry in entries
            if spool.SYSTEM in entry and entry[spool.TIME] > self._system_time
        ]
        return [
            Metric(f"{_SYSTEM}{key}", value, entry[spool.TIME], step)
            for step, entry in enumerate(new, start=self._system_step + 1)
            for key, value in entry[spool.SYSTEM].items()
        ]


def _last_steps(run: Run) -> dict[str, int]:
    return {metric.key: metric.step for metric in run.data._metric_objs}


def deliver_waiting(tracking: Tracking) -> int:
    """Deliver the spool files of processes that ended; return the number of delivered files.

    A file that the store refuses, because its experiment was deleted, is kept and named.

    Raises:
        StoreOutageError: the store does not answer; the rest is kept.
    """
    delivered = 0
    for path in spool.waiting():
        try:
            with spool.taken(path) as content:
                if content is not None:
                    _deliver(tracking, *content)
                    delivered += 1
        except StoreOutageError:
            raise
        except ThawError as error:
            warn(f"{path} is not delivered: {error}")
    return delivered


def _deliver(tracking: Tracking, identity: RunIdentity, entries: Sequence[Entry]) -> None:
    uri = store_uri(tracking)
    own = tracking.model_copy(update={"experiment": identity.experiment})
    client, experiment_id = connect(own)
    with store_errors(uri):
        run = _recorded_run(client, entries, uri) or find(client, experiment_id, identity.key)
        run = run or create(client, experiment_id, identity)
        Delivery(client, client.get_run(run.info.run_id)).send(entries)


def _recorded_run(client: MlflowClient, entries: Sequence[Entry], uri: str) -> Run | None:
    """Return the run that the process of ``entries`` opened, unless it was deleted since."""
    for run_id in [entry[spool.RUN] for entry in entries if spool.RUN in entry]:
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if is_outage(error, uri):
                raise
            continue
        if run.info.lifecycle_stage == "active":
            return run
    return None
