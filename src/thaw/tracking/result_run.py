"""The MLflow run: one a pipeline result, found again by its key and the digest of its model.

All stages of one ``dvc repro``, and a resumed one, write to the same run, live. The durable
record is each stage's ``history.csv``: should the tracking server go away in mid-run, training
goes on, and ``evaluate`` copies in what is missing.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import mlflow
import psutil
from filelock import FileLock
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from thaw.config.values import flatten, result_digest
from thaw.errors import ThawError
from thaw.system import provenance
from thaw.system.code_digests import result_code_digest
from thaw.system.console import warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thaw.config.data_sections import Data
    from thaw.config.params import Params
    from thaw.config.result_sections import Tracking
    from thaw.training.history import Row

STORE = Path("mlruns")
KEY = "thaw.key"
PROCESS = "thaw.system.processes"
RESULT = "thaw.result"  # the digest of the model that a run ended, or is about to end, with
COMMIT, DIRTY = "mlflow.source.git.commit", "thaw.git_dirty"
STARTED_AT = "thaw.git_started"  # what those two were, where the commit came later
_MADE = "thaw.made"  # on an experiment
_OPEN = ("RUNNING", "FAILED", "KILLED")
_BATCH = 1000  # metrics in one log_batch: the server's own limit


def store_uri(tracking: Tracking) -> str:
    """``tracking.uri``, else ``MLFLOW_TRACKING_URI``, else sqlite under ``mlruns/``."""
    local = f"sqlite:///{_project() / STORE / 'mlflow.db'}"
    return tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or local


def _project() -> Path:
    """The project's folder, also from the copy that `dvc exp run --temp` works in."""
    here = Path.cwd().resolve()
    exps = next((p for p in here.parents if p.parts[-3:] == (".dvc", "tmp", "exps")), None)
    return exps.parents[2] if exps else here


def connect(tracking: Tracking) -> tuple[MlflowClient, str]:
    """A client and the experiment's id; makes the local store at its first use.

    Raises:
        ThawError: the store does not answer, cannot be written, or belongs to another folder.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # a bar for each of a model's small files says nothing
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    uri = store_uri(tracking)
    mlflow.set_tracking_uri(uri)
    with _answering(uri):
        if uri.startswith("sqlite:///"):
            path = Path(uri.removeprefix("sqlite:///"))
            path.parent.mkdir(parents=True, exist_ok=True)
            # Several processes that open a fresh database at once corrupt it (mlflow#19943).
            with FileLock(path.with_suffix(".lock")):
                _make_database(path)
                return _experiment(MlflowClient(uri), tracking.experiment, path.parent)
        return _experiment(MlflowClient(uri), tracking.experiment, None)


@contextlib.contextmanager
def _answering(uri: str) -> Iterator[None]:
    """What the store raises becomes a line."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ThawError(f"tracking: the MLflow store {uri} cannot be used: {reason}") from error


def _make_database(path: Path) -> None:
    """Migrate in a file of its own and rename: a kill in between leaves nothing half-made."""
    if path.exists():
        return
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    MlflowClient(f"sqlite:///{part}").search_experiments(max_results=1)
    part.replace(path)


def _experiment(client: MlflowClient, name: str, folder: Path | None) -> tuple[MlflowClient, str]:
    found = client.get_experiment_by_name(name)
    if found is None:
        location = _artifacts(folder, name) if folder else None
        # Without the tag the UI opens on the side for generative AI.
        tags = {"mlflow.experimentKind": "custom_model_development", _MADE: "true"}
        return client, client.create_experiment(name, artifact_location=location, tags=tags)
    if found.lifecycle_stage != "active":
        raise ThawError(
            f"tracking.experiment: {name!r} was deleted in MLflow; restore it, or choose another"
        )
    # MLflow keeps absolute artifact paths: in a moved project it would write to the old place.
    if folder and found.artifact_location != _artifacts(folder, name):
        if _MADE not in found.tags:
            raise ThawError(
                f"tracking.experiment: {name!r} was not made by thaw and keeps its artifacts in "
                f"{found.artifact_location}: choose another name"
            )
        raise ThawError(
            f"tracking.experiment: {name!r} keeps its artifacts in {found.artifact_location}, "
            f"not in {folder}: the project was moved; move it back, or choose another experiment"
        )
    return client, found.experiment_id


def _artifacts(folder: Path, name: str) -> str:
    return (folder / "artifacts" / quote(name, safe="")).resolve().as_uri()


def this_process() -> str:
    """Host and pid, by which a run that was killed is told from one that goes on."""
    return f"{socket.gethostname()}:{os.getpid()}"


def user() -> str:
    """Who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have them
        return str(os.getuid())


def _is_dead(tags: Mapping[str, str]) -> bool:
    """Return whether the process of a run was on this machine and is gone."""
    host, _, pid = tags.get(PROCESS, "").rpartition(":")
    return host == socket.gethostname() and not psutil.pid_exists(int(pid))


def _committed_later(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of the commit, where a run began before its code was committed.

    Its key has the digests of the code and the parameters: they are those that are committed now.
    """
    state = provenance.git_state()
    if state is None or state[1] or tags.get(DIRTY) == "false":
        return {}
    started = f"{tags[COMMIT]} with changes" if COMMIT in tags else "no git checkout"
    return {COMMIT: state[0], DIRTY: "false", STARTED_AT: started}


class ResultRun:
    """The run of one pipeline result."""

    def __init__(self, params: Params, data_digest: str, result: str = "") -> None:
        """Find the run of these parameters, data and code, or create it.

        A stage that trains continues an unfinished run. The last stage knows the digest of the
        model, ``result``: it finds the run of that very result, also one that is finished, so that
        a repeated stage adds no second one. A run that a repeated training made meanwhile is
        removed.
        """
        self._tracking = params.tracking
        self._client, self.experiment_id = connect(params.tracking)
        parts = (result_digest(params), data_digest, result_code_digest())
        self.key = provenance.key(*parts)
        self._live = True
        with _answering(store_uri(params.tracking)):
            run = self._find(result) or self._create(params, data_digest)
            self.run_id: str = run.info.run_id
            self._logged = {m.key: m.step for m in run.data._metric_objs}  # the last step of each
            self._client.update_run(self.run_id, status="RUNNING")
            tags = {PROCESS: this_process(), **_committed_later(run.data.tags)}
            self.tag({**tags, RESULT: result} if result else tags)
            self._remove_repetitions(result)
            self._close_dead_runs()

    def _find(self, result: str) -> Run | None:
        found = self._of_key()
        unfinished = [run for run in found if run.info.status in _OPEN]
        if not result:
            return next(iter(unfinished), None)
        ended = [run for run in found if run.data.tags.get(RESULT) == result]
        begun = [run for run in unfinished if RESULT not in run.data.tags]
        return next(iter([*reversed(ended), *begun]), None)

    def _of_key(self) -> list[Run]:
        """Return the runs with this key, newest first."""
        found: list[Run] = self._client.search_runs(
            [self.experiment_id], f"tags.`{KEY}` = '{self.key}'", order_by=["start_time DESC"]
        )
        return found

    def _remove_repetitions(self, result: str) -> None:
        """Remove other unfinished runs of this result: the same training, done once more here."""
        for run in self._of_key() if result else []:
            tags, other = run.data.tags, run.info.run_id != self.run_id
            is_done = _is_dead(tags) or tags.get(PROCESS) == this_process()
            if other and is_done and run.info.status in _OPEN and RESULT not in tags:
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
        }
        if state := provenance.git_state():
            tags[COMMIT] = state[0]
            tags[DIRTY] = str(state[1]).lower()
        name = f"{backbone}-depth{params.unfreeze.depth}-{self.key[:7]}"
        run = self._client.create_run(self.experiment_id, tags=tags, run_name=name)
        values = [Param(key, value) for key, value in flatten(params).items()]
        self._client.log_batch(run.info.run_id, params=values)
        return run

    def _close_dead_runs(self) -> None:
        """A run whose process on this machine is gone was killed; MLflow keeps it RUNNING."""
        running = self._client.search_runs(
            [self.experiment_id], "attributes.status = 'RUNNING'", ViewType.ACTIVE_ONLY
        )
        for run in running:
            if _is_dead(run.data.tags) and run.info.run_id != self.run_id:
                self._client.set_terminated(run.info.run_id, "KILLED")

    def tag(self, tags: dict[str, str]) -> None:
        """Set tags on the run."""
        values = [RunTag(name, value) for name, value in tags.items()]
        self._client.log_batch(self.run_id, tags=values)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """While a stage works: system metrics; ends FAILED or KILLED, or still RUNNING if well."""
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
            if status and self._live:
                with contextlib.suppress(MlflowException):
                    self.tag({"thaw.stopped_in": name})
                    self._client.set_terminated(self.run_id, status)

    def log_row(self, stage: str, row: Row) -> None:
        """Log an epoch as it ends; should MLflow fail, training goes on, the rest comes later."""
        if not self._live:
            return
        try:
            self.log_history(stage, [row])
        except (MlflowException, OSError) as error:
            self._live = False
            warn(f"MLflow does not answer ({error}); training goes on, `evaluate` logs the rest")

    def log_history(self, stage: str, rows: Sequence[Row]) -> None:
        """Log the epochs that are not yet there: MLflow would keep a repeated step twice."""
        now = int(time.time() * 1000)
        metrics = []
        for row in rows:
            for name in ("train_loss", "val_loss", "val_accuracy", "lr"):
                key, value = f"{stage}/{name}", getattr(row, name)
                if value is not None and row.epoch > self._logged.get(key, -1):
                    metrics.append(Metric(key, value, now, row.epoch))
        for start in range(0, len(metrics), _BATCH):
            batch = metrics[start : start + _BATCH]
            self._client.log_batch(self.run_id, metrics=batch)
            self._logged |= {metric.key: metric.step for metric in batch}

    def computed(self, stage: str, digest: str) -> None:
        """Note that this run's ``stage`` made the model with ``digest``."""
        if self._live:
            with contextlib.suppress(MlflowException):
                self.tag({f"{stage}.model": digest})

    def copied(self, stage: str, digest: str) -> None:
        """Where DVC took ``stage`` from its cache, name the run that computed it."""
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
        """Log what is known at the end: the data set, the locked pipeline, reports and pictures.

        ``note`` (Markdown) is the description of the run. The run must be MLflow's active one.
        """
        self.tag({"thaw.dvc_lock": provenance.lock_digest() or "none", "mlflow.note.content": note})
        name = "digits" if data.source == "digits" else Path(data.path).name
        dataset = MetaDataset(  # type: ignore[abstract]
            # 36 characters are what MLflow keeps of a digest; the tag has the whole of it
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
        """MLflow's own active run, for what only its fluent interface does; ends FINISHED."""
        with mlflow.start_run(run_id=self.run_id):
            yield
