"""The MLflow run of a pipeline result, found again by its key and the digest of its model.

All stages of one ``dvc repro`` write to the same run while they work (``live_run``), also if it is
resumed. What a stage could not log waits in the spool, and each stage's ``history.csv`` has all
epochs: `evaluate` adds what is missing.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import mlflow
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]

from thaw.config.source_names import data_set_name
from thaw.errors import without_passwords
from thaw.system import provenance
from thaw.system.console import say
from thaw.system.project_paths import DVC_LOCK, PARAMS_FILE, PIPELINE, REPORTS
from thaw.tracking import spool, untracked_models
from thaw.tracking.delivery import Delivery, deliver_waiting
from thaw.tracking.outages import STORE_ERRORS, StoreOutageError
from thaw.tracking.run_description import COMPLETED
from thaw.tracking.run_identity import identify
from thaw.tracking.run_logging import log_in_batches
from thaw.tracking.run_lookup import open_run
from thaw.tracking.run_owner import DESCRIPTION, noting_failure, stop_tags
from thaw.tracking.store import connect, store_errors, store_uri
from thaw.tracking.system_metrics import measuring

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from thaw.config.data_sections import Data
    from thaw.config.params import Params
    from thaw.config.result_sections import Tracking
    from thaw.training.history import EpochRow

_ALL_PHASES = "all_phases"  # beside the names of the stages
MAIN_ARTIFACT = "report.html"
_WAIT, _PAUSE = 60.0, 2.0  # seconds that `evaluate` waits for the store, and between two attempts


def wait_for_run(params: Params, data_digest: str, result: str) -> ResultRun:
    """Return the run of ``result``; wait up to a minute for a store that does not answer.

    Raises:
        StoreOutageError: the store does not answer for so long.
        ThawError: the store cannot be written, or belongs to another folder.
    """
    ends = time.monotonic() + _WAIT
    is_said = False
    while True:
        try:
            return ResultRun(params, data_digest, result)
        except StoreOutageError as error:
            if time.monotonic() > ends:
                raise
            if not is_said:
                is_said = True
                say(f"{error}; waiting for it up to {_WAIT:.0f} seconds")
            time.sleep(_PAUSE)


class ResultRun:
    """The MLflow run of one pipeline result, which `evaluate` completes."""

    def __init__(self, params: Params, data_digest: str, result: str = "") -> None:
        """Deliver what earlier stages have spooled, then find the run or create it.

        ``result`` is the digest of the final model: see :func:`thaw.tracking.run_lookup.open_run`.

        Raises:
            StoreOutageError: the store does not answer.
            ThawError: the store cannot be written, or belongs to another folder.
        """
        self._tracking = params.tracking
        identity = identify(params, data_digest)
        self.key = identity.key
        self._client, self.experiment_id = connect(params.tracking)
        deliver_waiting(params.tracking)
        with store_errors(store_uri(params.tracking)):
            run = open_run(self._client, self.experiment_id, identity, result)
            self.run_id: str = run.info.run_id
            self._delivery = Delivery(self._client, self._client.get_run(self.run_id))

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
        failures: list[tuple[str, str]] = []
        measured: list[spool.Entry] = []

        def keep(values: Mapping[str, float]) -> None:
            measured.append(spool.system_entry(values))

        seconds = self._tracking.system_metrics_seconds
        try:
            with (
                noting_failure(lambda *failure: failures.append(failure)),
                measuring(seconds, keep),
            ):
                yield
        finally:
            with contextlib.suppress(*STORE_ERRORS):
                self._delivery.send(measured)
                for status, reason in failures:
                    self._delivery.send([{spool.TAGS: stop_tags(name, reason)}])
                    self._client.set_terminated(self.run_id, status)

    def log_history(self, stage: str, rows: Sequence[EpochRow]) -> None:
        """Log the epochs that are not logged yet. MLflow would store a repeated step twice."""
        self._delivery.send([spool.epoch_entry(stage, row) for row in rows])

    def log_curve(self, histories: Mapping[str, Sequence[EpochRow]]) -> None:
        """Log the epochs of all stages as one curve, ``all_phases/...``: the steps count on."""
        start, entries = 0, []
        for rows in histories.values():
            counted = [replace(row, epoch=start + row.epoch) for row in rows]
            entries += [spool.epoch_entry(_ALL_PHASES, row) for row in counted]
            start = counted[-1].epoch + 1
        self._delivery.send(entries)

    def copied(self, stage: str, digest: str) -> None:
        """Record the run that computed the result of ``stage``, if DVC took it from its cache."""
        if untracked_models.read(stage) == digest:
            self.tag({f"{stage}.model": digest})
            untracked_models.remove(stage)
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

        ``note`` (Markdown) describes the run, below what a user wrote there. The run must be
        MLflow's active run.
        """
        tags = {COMPLETED: provenance.lock_digest() or "none", DESCRIPTION: note}
        self._delivery.send([{spool.TAGS: tags}])
        dataset = MetaDataset(  # type: ignore[abstract]
            # MLflow keeps 36 characters of a digest; the tag thaw.data_digest has all of it.
            LocalArtifactDatasetSource(data.path),
            name=data_set_name(data.source, data.path),
            digest=data_digest[:36],
        )
        mlflow.log_input(dataset, context="training")
        for path in (PARAMS_FILE, PIPELINE, DVC_LOCK):
            if path.exists():
                text = without_passwords(path.read_text(encoding="utf-8"))
                self._client.log_text(self.run_id, text, f"pipeline/{path.name}")
        self._client.log_artifacts(self.run_id, str(REPORTS), "reports")

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Make this MLflow's active run, for its fluent interface; at the end it is FINISHED."""
        with mlflow.start_run(run_id=self.run_id):
            yield


def log_documents(tracking: Tracking, run_id: str, page: Path, card: Path) -> None:
    """Log the report page and the model card at the top of the run's artifacts."""
    client, _ = connect(tracking)
    for name, path in ((MAIN_ARTIFACT, page), (card.name, card)):
        client.log_text(run_id, path.read_text(encoding="utf-8"), name)


def report_address(experiment_id: str, run_id: str) -> str:
    """Return the address of the report page in MLflow's pages, relative to their start."""
    return f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/{MAIN_ARTIFACT}"
