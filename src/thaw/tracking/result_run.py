"""The MLflow run of a pipeline result, found again by its key and the digest of its model.

All stages of one ``dvc repro`` write to the same run while they work, also if it is resumed. Each
stage's ``history.csv`` is the durable record: if the tracking server fails while a stage trains,
training continues, and ``evaluate`` adds what is missing.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from mlflow.entities import Metric, Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from thaw.config.values import changed_text, flatten, result_digest
from thaw.system import provenance
from thaw.system.code_digests import result_code_digest
from thaw.system.console import warn
from thaw.tracking import untracked_results
from thaw.tracking.batches import log_in_batches
from thaw.tracking.pending_models import remove_pending_models
from thaw.tracking.run_owner import PROCESS, is_dead, this_process, user
from thaw.tracking.store import connect, store_errors, store_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thaw.config.data_sections import Data
    from thaw.config.params import Params
    from thaw.training.history import Row

KEY = "thaw.key"
CHANGED = "thaw.changed"  # one column of the runs table: the values that differ from the defaults
RESULT = "thaw.result"  # digest of the final model of the run
COMMIT, DIRTY = "mlflow.source.git.commit", "thaw.git_dirty"
STARTED_AT = "thaw.git_started"  # commit and state at the start, if the code was committed later
_UNFINISHED = ("RUNNING", "FAILED", "KILLED")


class ResultRun:
    """The MLflow run of one pipeline result."""

    def __init__(self, params: Params, data_digest: str, result: str = "") -> None:
        """Find the run of these parameters, data and code, or create it.

        A stage that trains continues an unfinished run. The last stage knows ``result``, the digest
        of the final model: it finds the run of exactly that result, also a finished one, so that a
        repeated stage adds no second run. A run that a repeated training created meanwhile is
        removed.

        Raises:
            ThawError: the store does not answer, cannot be written, or belongs to another folder.
        """
        self._tracking = params.tracking
        self._client, self.experiment_id = connect(params.tracking)
        parts = (result_digest(params), data_digest, result_code_digest())
        self.key = provenance.key(*parts)
        self._is_available = True
        with store_errors(store_uri(params.tracking)):
            run = self._find(result) or self._create(params, data_digest)
            self.run_id: str = run.info.run_id
            # By metric: the last step that is logged.
            self._logged = {m.key: m.step for m in run.data._metric_objs}
            self._client.update_run(self.run_id, status="RUNNING")
            tags = {PROCESS: this_process(), **_commit_tags(run.data.tags)}
            self.tag({**tags, RESULT: result} if result else tags)
            self._remove_repetitions(result)
            self._close_dead_runs()
            remove_pending_models(self._client, self.experiment_id, self.run_id)

    def _find(self, result: str) -> Run | None:
        found = self._runs_of_key()
        unfinished = [run for run in found if run.info.status in _UNFINISHED]
        if not result:
            return next(iter(unfinished), None)
        same_result = [run for run in found if run.data.tags.get(RESULT) == result]
        without_result = [run for run in unfinished if RESULT not in run.data.tags]
        return next(iter([*reversed(same_result), *without_result]), None)

    def _runs_of_key(self) -> list[Run]:
        """Return the runs with this key, newest first."""
        found: list[Run] = self._client.search_runs(
            [self.experiment_id], f"tags.`{KEY}` = '{self.key}'", order_by=["start_time DESC"]
        )
        return found

    def _remove_repetitions(self, result: str) -> None:
        """Remove other unfinished runs of this result: the same training, repeated here."""
        for run in self._runs_of_key() if result else []:
            tags, is_other = run.data.tags, run.info.run_id != self.run_id
            is_ended = is_dead(tags) or tags.get(PROCESS) == this_process()
            if is_other and is_ended and run.info.status in _UNFINISHED and RESULT not in tags:
                self._client.delete_run(run.info.run_id)

    def _create(self, params: Params, data_digest: str) -> Run:
        backbone = params.backbone.name.rsplit("/", 1)[-1]
        tags = {
            KEY: self.key,
            PROCESS: this_process(),
            "mlflow.source.name": "dvc.yaml",
            "mlflow.source.type": "PROJECT",
            "mlflow.user": user(),
            "thaw.data_digest": data_digest,
            "thaw.code_digest": result_code_digest(),
            CHANGED: changed_text(params),
        }
        if state := provenance.git_state():
            tags[COMMIT] = state[0]
            tags[DIRTY] = str(state[1]).lower()
        else:
            warn(f"the run records no commit: {provenance.why_no_commit()}")
        name = f"{backbone}-depth{params.unfreeze.depth}-{self.key[:7]}"
        run = self._client.create_run(self.experiment_id, tags=tags, run_name=name)
        log_in_batches(self._client, run.info.run_id, params=flatten(params))
        return run

    def _close_dead_runs(self) -> None:
        """Set the runs of killed processes of this machine to KILLED."""
        running = self._client.search_runs(
            [self.experiment_id], "attributes.status = 'RUNNING'", ViewType.ACTIVE_ONLY
        )
        for run in running:
            if is_dead(run.data.tags) and run.info.run_id != self.run_id:
                self._client.set_terminated(run.info.run_id, "KILLED")

    def tag(self, tags: dict[str, str]) -> None:
        """Set tags on the run."""
        log_in_batches(self._client, self.run_id, tags=tags)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Log system metrics while a stage works.

        If the stage fails or is stopped, the run becomes FAILED or KILLED. Otherwise it stays
        RUNNING for the next stage.

        Raises:
            KeyboardInterrupt: the stage was interrupted.
            SystemExit: the stage was told to stop.
        """
        monitor = SystemMetricsMonitor(  # type: ignore[no-untyped-call]
            self.run_id,
            sampling_interval=self._tracking.system_metrics_seconds,
            resume_logging=True,
        )
        monitor.start()  # type: ignore[no-untyped-call]
        status = None
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            status = "KILLED"
            raise
        except BaseException:
            status = "FAILED"
            raise
        finally:
            monitor.finish()  # type: ignore[no-untyped-call]
            if status and self._is_available:
                with contextlib.suppress(MlflowException):
                    self.tag({"thaw.stopped_in": name})
                    self._client.set_terminated(self.run_id, status)

    def log_row(self, stage: str, row: Row) -> None:
        """Log a finished epoch. If MLflow fails, warn once and log nothing more."""
        if not self._is_available:
            return
        try:
            self.log_history(stage, [row])
        except (MlflowException, OSError) as error:
            self._is_available = False
            warn(f"MLflow does not answer ({error}); training continues, `evaluate` logs the rest")

    def log_history(self, stage: str, rows: Sequence[Row]) -> None:
        """Log the epochs that are not logged yet. MLflow would store a repeated step twice."""
        now = int(time.time() * 1000)
        metrics = []
        for row in rows:
            for name in ("train_loss", "val_loss", "val_accuracy", "lr"):
                key, value = f"{stage}/{name}", getattr(row, name)
                if value is not None and row.epoch > self._logged.get(key, -1):
                    metrics.append(Metric(key, value, now, row.epoch))
        log_in_batches(self._client, self.run_id, metrics=metrics)
        self._logged |= {metric.key: metric.step for metric in metrics}

    def computed(self, stage: str, digest: str) -> None:
        """Record that ``stage`` of this run made the model with ``digest``."""
        if self._is_available:
            with contextlib.suppress(MlflowException):
                self.tag({f"{stage}.model": digest})

    def copied(self, stage: str, digest: str) -> None:
        """Record the run that computed the result of ``stage``, if DVC took it from its cache."""
        if untracked_results.noted(stage) == digest:
            self.tag({f"{stage}.model": digest})
            untracked_results.forget(stage)
            return
        if self._client.get_run(self.run_id).data.tags.get(f"{stage}.model") == digest:
            return
        found = self._client.search_runs(
            [self.experiment_id],
            f"tags.`{stage}.model` = '{digest}'",
            order_by=["start_time ASC"],
            max_results=1,
        )
        origin = found[0].info.run_id if found else "unknown (not in this experiment)"
        self.tag({f"{stage}.copied_from": origin})

    def complete(self, note: str, data: Data, data_digest: str) -> None:
        """Log the data set, the locked pipeline and the reports.

        ``note`` (Markdown) is the description of the run. The run must be MLflow's active run.
        """
        self.tag({"thaw.dvc_lock": provenance.lock_digest() or "none", "mlflow.note.content": note})
        name = "digits" if data.source == "digits" else Path(data.path).name
        dataset = MetaDataset(  # type: ignore[abstract]
            # MLflow keeps 36 characters of a digest; the tag thaw.data_digest has all of it.
            LocalArtifactDatasetSource(data.path),
            name=name,
            digest=data_digest[:36],
        )
        mlflow.log_input(dataset, context="training")
        for name in ("params.yaml", "dvc.yaml", "dvc.lock"):
            if Path(name).exists():
                self._client.log_artifact(self.run_id, name, "pipeline")
        self._client.log_artifacts(self.run_id, "reports", "reports")

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Make this MLflow's active run, for its fluent interface; at the end it is FINISHED."""
        with mlflow.start_run(run_id=self.run_id):
            yield


def _commit_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of the commit, if a run with ``tags`` began before its code was committed.

    The key of the run has the digests of code and parameters: they are the ones committed now.
    """
    state = provenance.git_state()
    if state is None or state[1] or tags.get(DIRTY) == "false":
        return {}
    started = f"{tags[COMMIT]} with changes" if COMMIT in tags else "no git checkout"
    return {COMMIT: state[0], DIRTY: "false", STARTED_AT: started}
