"""Store the result of the gate: the report with the run, the verdict with the version."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from thaw.promotion import gate_report
from thaw.registry import names
from thaw.registry.aliases import is_missing
from thaw.registry.descriptions import with_note
from thaw.registry.ledger import ConflictError
from thaw.registry.names import gate_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.tracking import MlflowClient

    from thaw.promotion.gate_report import Report


def log_report(client: MlflowClient, report: Report) -> str:
    """Log ``report`` to the run of the challenger; return its address, "" if there is no run."""
    run_id = client.get_model_version(report.name, str(report.version)).run_id
    if not run_id:
        return ""
    folder = f"gate/{report.when.replace(':', '')[:17]}-{uuid.uuid4().hex[:6]}"
    try:
        client.log_text(run_id, gate_report.as_html(report), f"{folder}/report.html")
        client.log_text(run_id, gate_report.as_json(report), f"{folder}/report.json")
    except MlflowException as error:
        if not is_missing(error):
            raise
        return ""  # the run was removed for good (`mlflow gc`)
    return f"runs:/{run_id}/{folder}/report.html"


@contextlib.contextmanager
def tagged_version(
    client: MlflowClient, report: Report, address: str, *, was_approved: bool
) -> Iterator[None]:
    """Write description and tags of the version; correct the verdict if the body has a conflict.

    The description has the gate's result above the model card.

    A version that was approved before keeps the tags of that: a later refusal is only in the
    history.

    Raises:
        ConflictError: the body raised it.
    """
    if report.verdict == names.REFUSED and was_approved:
        yield
        return
    name, version = report.name, str(report.version)
    verdict_tag = gate_tag(names.GATE, report.alias)
    entry = client.get_model_version(name, version)
    earlier = entry.tags.get(verdict_tag, "")
    tags = {
        names.GATE_WHEN: report.when,
        names.GATE_REPORT: address,
        names.GATE_AGAINST: str(report.against or ""),
        names.GATE_REASON: report.reason,
        names.GATE: report.verdict,  # the last one: without it the version has no verdict yet
    }
    note = gate_report.as_note(report)
    client.update_model_version(name, version, with_note(note, entry.description))
    for tag, value in tags.items():
        client.set_model_version_tag(name, version, gate_tag(tag, report.alias), value)
    try:
        yield
    except ConflictError as error:
        client.update_model_version(name, version, with_note(f"{note}\n{error}", entry.description))
        verdict = earlier if was_approved else names.CONFLICT
        client.set_model_version_tag(name, version, verdict_tag, verdict)
        raise
