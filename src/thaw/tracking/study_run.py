"""A search in MLflow: one parent run a study, one child run a trial, each written in one batch."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from thaw.config.values import flatten
from thaw.system import provenance
from thaw.system.code_digests import result_code_digest
from thaw.system.console import warn
from thaw.tracking.result_run import PROCESS, connect, this_process, user

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from mlflow.entities import Run

    from thaw.config.params import Params

STUDY = "thaw.study"
TRIAL = "thaw.trial"
_PARENT = "mlflow.parentRunId"
_BATCH = 1000  # metrics, and _PARAMS params, in one log_batch: the server's own limits
_PARAMS = 100
_STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "fail": "FAILED"}


@dataclass(frozen=True)
class TrialRecord:
    """A trial as it is logged; times are milliseconds since 1970, rows have an ``epoch``."""

    number: int
    name: str
    state: str
    why: str
    values: Mapping[str, Any]
    metrics: Mapping[str, float]
    curve: Sequence[Mapping[str, Any]]
    begun: int
    ended: int
    tags: Mapping[str, str] = field(default_factory=dict)


class StudyRun:
    """The parent run of a study; where MLflow fails, the search goes on without it."""

    def __init__(self, params: Params, study: str, data_digest: str) -> None:
        """Find the run of ``study``, or create it."""
        self._client, self._experiment = connect(params.tracking)
        self.run_id = self._find(study) or self._create(params, study, data_digest)
        self._study = study
        self._live = True
        self.logged: set[int] = set()
        self._reread()
        # Should it be killed, the next run of a pipeline closes its run: tracking.py.
        self._client.set_tag(self.run_id, PROCESS, this_process())
        self._client.update_run(self.run_id, status="RUNNING")

    def _find(self, study: str) -> str | None:
        """The run of ``study``: it is older than its children, which have its tag as well."""
        found = self._search(f"tags.`{STUDY}` = '{study}'", "start_time ASC")
        own = (run.info.run_id for run in found if _PARENT not in run.data.tags)
        return next(own, None)

    def _search(self, wanted: str, order: str) -> Iterator[Run]:
        """The runs of the experiment that are as ``wanted``, page by page."""
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], wanted, order_by=[order], page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _create(self, params: Params, study: str, data_digest: str) -> str:
        tags = {
            STUDY: study,
            "mlflow.source.name": "thaw search",
            "mlflow.source.type": "PROJECT",
            "mlflow.user": user(),
            "thaw.data_digest": data_digest,
            "thaw.code_digest": result_code_digest(),
        }
        if state := provenance.git_state():
            tags["mlflow.source.git.commit"] = state[0]
        run = self._client.create_run(self._experiment, tags=tags, run_name=f"search {study}")
        self._write(run.info.run_id, flatten(params), [], {})
        return str(run.info.run_id)

    def reread(self) -> None:
        """Take from MLflow which trials are logged: an interruption may have come in between.

        A child that it left half-written has no number yet: it is closed, and logged anew.
        """
        if self._live:
            with self._or_without():
                self._reread()

    @contextlib.contextmanager
    def _or_without(self) -> Iterator[None]:
        try:
            yield
        except (MlflowException, OSError) as error:
            self._live = False
            warn(
                f"MLflow does not answer ({error}); the search goes on, and the same command logs "
                "the rest later"
            )

    def _reread(self) -> None:
        children = self._children()
        self.logged = {int(run.data.tags[TRIAL]) for run in children if TRIAL in run.data.tags}
        for run in children:
            if run.info.status == "RUNNING":
                whole = TRIAL in run.data.tags
                status = _STATUS[run.data.tags["thaw.state"]] if whole else "KILLED"
                self._client.set_terminated(run.info.run_id, status)

    def _children(self) -> list[Run]:
        return list(self._search(f"tags.`{_PARENT}` = '{self.run_id}'", "start_time ASC"))

    def log_trial(self, trial: TrialRecord) -> None:
        """One child run, whole."""
        if not self._live or trial.number in self.logged:
            return
        with self._or_without():
            self._log_trial(trial)

    def _log_trial(self, trial: TrialRecord) -> None:
        tags = {
            STUDY: self._study,
            _PARENT: self.run_id,
            "mlflow.user": user(),
            "mlflow.source.name": "thaw search",
            "thaw.state": trial.state,
            **({"thaw.why": trial.why} if trial.why else {}),
            **trial.tags,
        }
        name = f"trial {trial.number}{f' ({trial.name})' if trial.name else ''}"
        run = self._client.create_run(
            self._experiment, start_time=trial.begun, tags=tags, run_name=name
        )
        metrics = [Metric(key, value, trial.ended, 0) for key, value in trial.metrics.items()]
        metrics += [
            Metric(key, float(value), trial.ended, int(row["epoch"]))
            for row in trial.curve
            for key, value in row.items()
            if key != "epoch" and value is not None
        ]
        params = {key: str(value) for key, value in trial.values.items()}
        # The number last: a child that a kill left half-written is not taken for a whole one.
        self._write(run.info.run_id, params, metrics, {TRIAL: str(trial.number)})
        status = _STATUS[trial.state]
        self._client.set_terminated(run.info.run_id, status, end_time=trial.ended)
        self.logged.add(trial.number)

    def _write(
        self, run_id: str, params: Mapping[str, str], metrics: list[Metric], tags: dict[str, str]
    ) -> None:
        values = [Param(key, value) for key, value in params.items()]
        marks = [RunTag(key, value) for key, value in tags.items()]
        while len(values) > _PARAMS or len(metrics) > _BATCH:
            self._client.log_batch(run_id, metrics[:_BATCH], values[:_PARAMS])
            metrics, values = metrics[_BATCH:], values[_PARAMS:]
        self._client.log_batch(run_id, metrics, values, marks)

    def finish(
        self, status: str, metrics: Mapping[str, float], tags: Mapping[str, str], folder: Path
    ) -> None:
        """Log what the search came to, with the pictures in ``folder``; ends the run."""
        if not self._live:
            return
        now = int(time.time() * 1000)
        with contextlib.suppress(MlflowException, OSError):
            marks = [RunTag(key, value) for key, value in tags.items()]
            # Steps count trials, so that a search that is continued makes a curve.
            step = len(self.logged)
            numbers = [Metric(key, value, now, step) for key, value in metrics.items()]
            self._client.log_batch(self.run_id, numbers, [], marks)
            if folder.is_dir():
                self._client.log_artifacts(self.run_id, str(folder), "search")
            self._client.set_terminated(self.run_id, status)
