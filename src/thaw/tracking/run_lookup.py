"""Find the MLflow run of a pipeline result, or create it; end the runs of killed processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow.entities import Run, ViewType

from thaw.system import provenance
from thaw.system.console import warn
from thaw.tracking.pending_models import remove_pending_models
from thaw.tracking.run_description import NOTE, own_text, with_note
from thaw.tracking.run_identity import COMMIT, DIRTY, KEY, experiment_tags
from thaw.tracking.run_logging import log_in_batches
from thaw.tracking.run_owner import DESCRIPTION, PROCESS, is_dead, this_process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.tracking import MlflowClient

    from thaw.tracking.run_identity import RunIdentity

RESULT = "thaw.result"  # digest of the final model of the run
STARTED_AT = "thaw.git_started"  # commit and state at the start, if the code was committed later
_STOPPED = ("FAILED", "KILLED")
_UNFINISHED = ("RUNNING", *_STOPPED)


def open_run(
    client: MlflowClient, experiment_id: str, identity: RunIdentity, result: str = ""
) -> Run:
    """Find the run of ``identity``, or create it, and set it to RUNNING for this process.

    A stage that trains continues an unfinished run. The last stage knows ``result``, the digest of
    the final model: it finds the run of exactly that result, also a finished one, so that a
    repeated stage adds no second run. A run that a repeated training created meanwhile is removed.
    """
    run = find(client, experiment_id, identity.key, result)
    run = run or create(client, experiment_id, identity)
    run_id: str = run.info.run_id
    client.update_run(run_id, status="RUNNING")
    if run.info.status in _STOPPED and DESCRIPTION in run.data.tags:
        _remove_note(client, run)  # why it stopped
    tags = {PROCESS: this_process(), **experiment_tags(), **_commit_tags(run.data.tags)}
    log_in_batches(client, run_id, tags={**tags, RESULT: result} if result else tags)
    if result:
        _remove_repetitions(client, experiment_id, identity.key, run_id)
    _close_dead_runs(client, experiment_id, run_id)
    remove_pending_models(client, experiment_id, run_id)
    return run


def find(client: MlflowClient, experiment_id: str, key: str, result: str = "") -> Run | None:
    """Return the run with this key that a stage continues, or None; see :func:`open_run`."""
    found = _runs_of_key(client, experiment_id, key)
    unfinished = [run for run in found if run.info.status in _UNFINISHED]
    if not result:
        return next(iter(unfinished), None)
    same_result = [run for run in found if run.data.tags.get(RESULT) == result]
    without_result = [run for run in unfinished if RESULT not in run.data.tags]
    return next(iter([*reversed(same_result), *without_result]), None)


def create(client: MlflowClient, experiment_id: str, identity: RunIdentity) -> Run:
    """Create the run of ``identity`` with its parameters."""
    if COMMIT not in identity.tags and (reason := provenance.why_no_commit()):
        warn(f"the run records no commit: {reason}")
    run = client.create_run(
        experiment_id,
        start_time=identity.started,
        tags=dict(identity.tags),
        run_name=identity.name,
    )
    log_in_batches(client, run.info.run_id, params=identity.params)
    return run


def _remove_note(client: MlflowClient, run: Run) -> None:
    """Remove thaw's note from the description; what a user wrote stays."""
    tags = run.data.tags
    if own := own_text(tags):
        log_in_batches(client, run.info.run_id, tags={DESCRIPTION: own})
    else:
        client.delete_tag(run.info.run_id, DESCRIPTION)
    if NOTE in tags:
        client.delete_tag(run.info.run_id, NOTE)


def _runs_of_key(client: MlflowClient, experiment_id: str, key: str) -> list[Run]:
    """Return the runs with this key, newest first."""
    found: list[Run] = client.search_runs(
        [experiment_id], f"tags.`{KEY}` = '{key}'", order_by=["start_time DESC"]
    )
    return found


def _remove_repetitions(client: MlflowClient, experiment_id: str, key: str, kept: str) -> None:
    """Remove other unfinished runs of this result: the same training, repeated here."""
    for run in _runs_of_key(client, experiment_id, key):
        tags, is_other = run.data.tags, run.info.run_id != kept
        is_ended = is_dead(tags) or tags.get(PROCESS) == this_process()
        if is_other and is_ended and run.info.status in _UNFINISHED and RESULT not in tags:
            client.delete_run(run.info.run_id)


def _close_dead_runs(client: MlflowClient, experiment_id: str, own: str) -> None:
    """Set the runs of killed processes of this machine to KILLED."""
    running = client.search_runs(
        [experiment_id], "attributes.status = 'RUNNING'", ViewType.ACTIVE_ONLY
    )
    for run in running:
        if is_dead(run.data.tags) and run.info.run_id != own:
            reason = f"Stopped: its process ({run.data.tags[PROCESS]}) ended without a message."
            log_in_batches(client, run.info.run_id, tags=with_note(run.data.tags, reason))
            client.set_terminated(run.info.run_id, "KILLED")


def _commit_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of the commit, if a run with ``tags`` began before its code was committed.

    The key of the run has the digests of code and parameters: they are the ones committed now.
    """
    state = provenance.git_state()
    if state is None or state[1] or tags.get(DIRTY) == "false":
        return {}
    started = f"{tags[COMMIT]} with changes" if COMMIT in tags else "no git checkout"
    return {COMMIT: state[0], DIRTY: "false", STARTED_AT: started}
