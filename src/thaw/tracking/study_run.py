"""A search in MLflow: one parent run per study, one child run per trial, written when it ends."""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric

from thaw.config.result_values import flatten
from thaw.errors import ThawError
from thaw.system import provenance
from thaw.system.code_digests import result_code_digest
from thaw.system.console import warn
from thaw.tracking.outages import STORE_ERRORS, StoreOutageError, is_outage
from thaw.tracking.run_description import beside_own_text
from thaw.tracking.run_identity import COMMIT
from thaw.tracking.run_logging import log_in_batches
from thaw.tracking.run_owner import PROCESS, this_process, user
from thaw.tracking.store import connect, store_errors, store_uri
from thaw.tracking.store_failures import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mlflow.entities import Run

    from thaw.config.params import Params

STUDY = "thaw.study"
TRIAL = "thaw.trial"
_PARENT = "mlflow.parentRunId"
_PATIENCE = 10.0  # seconds to wait for the store at the start and at the end of a search
_PAUSE = 10.0  # seconds between attempts to reach it
_LATER = "the search goes on, and its trials are logged when MLflow answers again"
_NUMBER = re.compile("[0-9]{1,9}")  # of a trial: anyone can write the tag
_STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "fail": "FAILED"}


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial as MLflow logs it.

    ``name`` is its origin, such as "advice", or ""; ``reason`` is why it was pruned or failed.
    ``started`` and ``ended`` are milliseconds since 1970. Each row of ``curve`` has an ``epoch``.
    """

    number: int
    name: str
    state: str
    reason: str
    values: Mapping[str, Any]
    metrics: Mapping[str, float]
    curve: Sequence[Mapping[str, Any]]
    started: int
    ended: int
    tags: Mapping[str, str] = field(default_factory=dict)


class StudyRun:
    """The parent run of a study. While the store does not answer, the search goes on without it.

    The trials are in the storage of the study. They are logged when the store answers again, or
    when the same command runs again.
    """

    def __init__(self, params: Params, study: str, data_digest: str) -> None:
        """Find the run of ``study`` or create it, and set it to RUNNING.

        Raises:
            ThawError: the store refuses what the parameters say. A store that does not answer is
                no error.
        """
        self._params, self._study, self._data_digest = params, study, data_digest
        self._uri = store_uri(params.tracking)
        self.run_id = ""
        self.logged: set[int] = set()
        self._is_available = self._has_failed = False
        self._refusal: ThawError | None = None
        self._next_attempt = math.inf
        self._opening = self._start_to_open()
        self._answers(_PATIENCE)
        if self._refusal is not None:
            raise self._refusal

    def _answers(self, patience: float = 0.0) -> bool:
        """Return whether the store can be written; try again to reach it from time to time.

        ``patience``: seconds to wait for it.
        """
        if self._is_available or self._has_failed:
            return self._is_available
        is_due = patience > 0 or time.monotonic() >= self._next_attempt
        if is_due and not self._opening.is_alive():
            self._opening = self._start_to_open()
        self._opening.join(patience)
        if patience and not (self._is_available or self._has_failed):
            warn(f"the MLflow store {self._uri} does not answer; {_LATER}")
        return self._is_available

    def _start_to_open(self) -> threading.Thread:
        """Open the run in a thread: a server that does not answer takes a minute."""
        self._next_attempt = math.inf
        thread = threading.Thread(target=self._try_to_open, name="MLflow", daemon=True)
        thread.start()
        return thread

    def _try_to_open(self) -> None:
        try:
            with store_errors(self._uri):
                self._open()
        except StoreOutageError:
            self._next_attempt = time.monotonic() + _PAUSE
        except ThawError as error:
            self._refusal, self._has_failed = error, True
        else:
            self._is_available = True

    def _open(self) -> None:
        self._client, self._experiment = connect(self._params.tracking)
        self.run_id = self._find(self._study) or self._create()
        self._reread()
        # If this process is killed, the next pipeline run closes this run: run_lookup.py.
        self._client.set_tag(self.run_id, PROCESS, this_process())
        self._client.update_run(self.run_id, status="RUNNING")

    def _find(self, study: str) -> str | None:
        """Return the id of the parent run; its children have the tag too, but are younger."""
        found = self._search(f"tags.`{STUDY}` = '{study}'", "start_time ASC")
        own = (run.info.run_id for run in found if _PARENT not in run.data.tags)
        return next(own, None)

    def _search(self, condition: str, order: str) -> Iterator[Run]:
        """Yield the runs of the experiment that meet ``condition``, page by page."""
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], condition, order_by=[order], page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _create(self) -> str:
        tags = {
            STUDY: self._study,
            "mlflow.source.name": "thaw search",
            "mlflow.source.type": "PROJECT",
            "mlflow.user": user(),
            "thaw.data_digest": self._data_digest,
            "thaw.code_digest": result_code_digest(),
        }
        if state := provenance.git_state():
            tags[COMMIT] = state[0]
        run = self._client.create_run(self._experiment, tags=tags, run_name=f"search {self._study}")
        log_in_batches(self._client, run.info.run_id, params=flatten(self._params))
        return str(run.info.run_id)

    def reread(self) -> None:
        """Ask MLflow which trials are logged; needed after an interruption.

        A child run that was only half-written has no trial number: it is closed as killed, and
        the trial is logged again.
        """
        if self._answers(_PATIENCE):
            with self._continue_without():
                self._reread()

    @contextlib.contextmanager
    def _continue_without(self) -> Iterator[None]:
        try:
            yield
        except STORE_ERRORS as error:
            self._is_available = False
            self._has_failed = not is_outage(error, self._uri)
            self._next_attempt = time.monotonic() + _PAUSE
            warn(f"MLflow does not answer ({reason_of(error)}); {_LATER}")

    def _reread(self) -> None:
        children = self._children()
        tags = [run.data.tags for run in children]
        self.logged = {int(one[TRIAL]) for one in tags if _NUMBER.fullmatch(one.get(TRIAL, ""))}
        for run in children:
            if run.info.status == "RUNNING":
                is_complete = TRIAL in run.data.tags
                status = _STATUS.get(run.data.tags.get("thaw.state", "")) if is_complete else None
                self._client.set_terminated(run.info.run_id, status or "KILLED")

    def _children(self) -> list[Run]:
        return list(self._search(f"tags.`{_PARENT}` = '{self.run_id}'", "start_time ASC"))

    def log_trial(self, trial: TrialRecord) -> None:
        """Log a finished trial as a child run, unless it is logged already."""
        if trial.number in self.logged or not self._answers():
            return
        with self._continue_without():
            self._log_trial(trial)

    def _log_trial(self, trial: TrialRecord) -> None:
        tags = {
            STUDY: self._study,
            _PARENT: self.run_id,
            "mlflow.user": user(),
            "mlflow.source.name": "thaw search",
            "thaw.state": trial.state,
            **({"thaw.why": trial.reason} if trial.reason else {}),
            **trial.tags,
        }
        name = f"trial {trial.number}{f' ({trial.name})' if trial.name else ''}"
        run = self._client.create_run(
            self._experiment, start_time=trial.started, tags=tags, run_name=name
        )
        metrics = [Metric(key, value, trial.ended, 0) for key, value in trial.metrics.items()]
        metrics += [
            Metric(key, float(value), trial.ended, int(row["epoch"]))
            for row in trial.curve
            for key, value in row.items()
            if key != "epoch" and value is not None
        ]
        params = {key: str(value) for key, value in trial.values.items()}
        # The number comes last: a child run without it is known to be half-written.
        number = {TRIAL: str(trial.number)}
        log_in_batches(self._client, run.info.run_id, metrics=metrics, params=params, tags=number)
        status = _STATUS[trial.state]
        self._client.set_terminated(run.info.run_id, status, end_time=trial.ended)
        self.logged.add(trial.number)

    def finish(
        self, status: str, metrics: Mapping[str, float], tags: Mapping[str, str], folder: Path
    ) -> None:
        """Log the result of the search and the plots in ``folder``, and end the run."""
        if not self._answers():
            return
        now = int(time.time() * 1000)
        with contextlib.suppress(*STORE_ERRORS):
            # The step is the number of trials, so that a continued search gives a curve.
            step = len(self.logged)
            numbers = [Metric(key, value, now, step) for key, value in metrics.items()]
            tags = beside_own_text(tags, self._client.get_run(self.run_id).data.tags)
            log_in_batches(self._client, self.run_id, metrics=numbers, tags=tags)
            if folder.is_dir():
                self._client.log_artifacts(self.run_id, str(folder), "search")
            self._client.set_terminated(self.run_id, status)
