"""Keep what the gate found: its report with the challenger's run, its verdict on the version."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

from thaw.promotion import gate_report
from thaw.registry import names
from thaw.registry.ledger import ConflictError
from thaw.registry.names import gate_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.tracking import MlflowClient

    from thaw.promotion.gate_report import Report


def log(client: MlflowClient, found: Report) -> str:
    """Log the report to the challenger's run; where the page is, "" where there is no run."""
    run_id = client.get_model_version(found.name, str(found.version)).run_id
    if not run_id:
        return ""
    folder = f"gate/{found.when.replace(':', '')[:17]}-{uuid.uuid4().hex[:6]}"
    client.log_text(run_id, gate_report.as_html(found), f"{folder}/report.html")
    client.log_text(run_id, gate_report.as_json(found), f"{folder}/report.json")
    return f"runs:/{run_id}/{folder}/report.html"


@contextlib.contextmanager
def tagged(client: MlflowClient, found: Report, place: str, *, was_let_in: bool) -> Iterator[None]:
    """Describe and tag the version; whoever loses a race inside does not stay as ``passed``.

    A version that was let through before keeps what let it through: a later refusal is in the
    history alone.
    """
    if found.verdict == names.REFUSED and was_let_in:
        yield
        return
    name, version = found.name, str(found.version)
    verdict = gate_tag(names.GATE, found.alias)
    earlier = client.get_model_version(name, version).tags.get(verdict, "")
    tags = {
        names.GATE_WHEN: found.when,
        names.GATE_REPORT: place,
        names.GATE_AGAINST: str(found.against or ""),
        names.GATE_REASON: found.reason,
        names.GATE: found.verdict,  # last: until it is there, the version was not judged
    }
    client.update_model_version(name, version, gate_report.as_note(found))
    for tag, value in tags.items():
        client.set_model_version_tag(name, version, gate_tag(tag, found.alias), value)
    try:
        yield
    except ConflictError as error:
        client.update_model_version(name, version, f"{gate_report.as_note(found)}\n{error}\n")
        kept = earlier if was_let_in else names.CONFLICT
        client.set_model_version_tag(name, version, verdict, kept)
        raise
