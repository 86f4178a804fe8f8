"""Offer a version to the gate and, if it is let through, move the alias to it."""

from __future__ import annotations

import socket
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from thaw import provenance
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.registry import names, report
from thaw.registry.fetch import Version, resolve
from thaw.registry.gate import Origin, judge
from thaw.registry.history import Intent
from thaw.registry.ledger import Ledger, aliases
from thaw.registry.names import CHALLENGER, PREVIOUS
from thaw.registry.report import Report
from thaw.registry.scored import score_version
from thaw.tracking import connect, user
from thaw.training.runtime import start

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

    from thaw.config import Params
    from thaw.registry.history import Row


@dataclass(frozen=True)
class Offer:
    """A version for an alias, and what stood there when the offer was made."""

    ledger: Ledger
    version: int
    against: int | None
    rows: Sequence[Row]


def promote(
    params: Params,
    prepared: Path,
    *,
    name: str,
    alias: str,
    version: int | None = None,
    force: bool = False,
    reason: str = "",
) -> Report:
    """Judge ``version`` (by default the challenger), record it, and move ``alias`` if it may.

    Raises:
        ConflictError: the alias was moved while the gate was at work.
        ThawError: there is no such version, it stands there already, or force has no reason.
    """
    if force and not reason.strip():
        raise ThawError('--force needs a reason: --force --reason "..."')
    if alias in {CHALLENGER, PREVIOUS}:
        raise ThawError(f"--to {alias}: thaw moves that alias itself; promote to another one")
    client, _ = connect(params.tracking)
    offer = look(Ledger(client, name, alias), version)
    found = examine(params, Prepared(prepared), offer, force=force, reason=reason)
    decide(offer, found)
    return found


def look(ledger: Ledger, version: int | None = None) -> Offer:
    """Finish what a process that died had begun; then see what stands, and who is offered."""
    rows = ledger.settle()
    standing = aliases(ledger.client, ledger.name)
    version = version or standing.get(CHALLENGER)
    if version is None:
        raise ThawError(f"{ledger.name} has no @{CHALLENGER}: name a version (`thaw status`)")
    against = standing.get(ledger.alias)
    if version == against:
        raise ThawError(f"{ledger.name} version {version} is the {ledger.alias} already")
    return Offer(ledger, version, against, rows)


def examine(params: Params, data: Prepared, offer: Offer, *, force: bool, reason: str) -> Report:
    """Score both on the test split that is here, and judge."""
    ledger, bins = offer.ledger, params.evaluate.calibration_bins
    versions = [offer.version] if offer.against is None else [offer.version, offer.against]
    entries = [_version(params, ledger.client, ledger.name, number) for number in versions]
    runtime = start(params.launch.model_copy(update={"processes": 1}))
    scored = [
        score_version(Version(ledger.name, number), data, runtime, bins) for number in versions
    ]
    challenger, champion = scored[0], scored[1] if len(scored) == 2 else None
    targets = data.manifest.targets[data.manifest.ids("test")]
    origin = _origin(ledger.client, entries[0], data)
    return Report(
        name=ledger.name,
        version=offer.version,
        alias=ledger.alias,
        against=offer.against,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        who=f"{user()}@{socket.gethostname()}",
        images=len(targets),
        rules=judge(params.promote, challenger, champion, targets, origin, bins),
        metrics=report.numbers(challenger, champion),
        recalls=report.recalls(challenger, champion),
        notes=_notes(entries[1:], data),
        reason=reason,
        force=force,
    )


def decide(offer: Offer, found: Report) -> None:
    """Keep the report with the run and the version; then the row in the history, and the alias.

    Raises:
        ConflictError: the alias was moved since the offer was made.
    """
    place = _keep(offer, found)
    refused = found.verdict == names.REFUSED
    why = found.summary if not found.reason else f"{found.reason} ({found.summary})"
    intent = Intent(
        kind="refusal" if refused else "promotion",
        origin=offer.against,
        to=offer.version,
        previous=offer.against,
        why=why,
        report=place,
        forced=found.verdict == names.FORCED,
    )
    offer.ledger.record(intent, offer.rows)


def _version(params: Params, client: MlflowClient, name: str, number: int) -> ModelVersion:
    resolve(f"models:/{name}/{number}", params.tracking)
    return client.get_model_version(name, str(number))


def _origin(client: MlflowClient, entry: ModelVersion, data: Prepared) -> Origin:
    tags = _run_tags(client, entry.run_id)
    return Origin(
        tagged_digest=entry.tags.get(names.DIGEST, ""),
        commit=tags.get("mlflow.source.git.commit", ""),
        dirty=tags.get("thaw.git_dirty", ""),
        data_digest=tags.get("thaw.data_digest", ""),
        lock_digest=tags.get("thaw.dvc_lock", ""),
        data_here=data.manifest.digest,
        lock_here=provenance.lock_digest(),
    )


def _run_tags(client: MlflowClient, run_id: str | None) -> dict[str, str]:
    """The tags of a run; none where the run is gone."""
    try:
        found: dict[str, str] = client.get_run(run_id).data.tags if run_id else {}
    except MlflowException:
        return {}
    return found


def _notes(champions: list[ModelVersion], data: Prepared) -> list[str]:
    if not champions:
        return ["there is no champion yet: floors, ceilings and provenance alone decide"]
    version, tagged = champions[0].version, champions[0].tags.get(names.TEST_DIGEST, "")
    again = "it was scored again on the one that is here"
    if not tagged:
        return [f"it is not known which test split version {version} was scored on: {again}"]
    if tagged != data.split_digest("test"):
        return [f"the test split changed since version {version} was scored: {again}"]
    return []


def _keep(offer: Offer, found: Report) -> str:
    """Log the report to the challenger's run and tag the version; where the page is."""
    client, name, version = offer.ledger.client, found.name, str(offer.version)
    run_id = client.get_model_version(name, version).run_id
    place = ""
    if run_id:
        folder = f"gate/{found.when.replace(':', '')[:17]}-{uuid.uuid4().hex[:6]}"
        client.log_text(run_id, report.as_html(found), f"{folder}/report.html")
        client.log_text(run_id, report.as_json(found), f"{folder}/report.json")
        place = f"runs:/{run_id}/{folder}/report.html"
    tags = {
        names.GATE_WHEN: found.when,
        names.GATE_REPORT: place,
        names.GATE_AGAINST: str(found.against or ""),
        names.GATE_REASON: found.reason,
        names.GATE: found.verdict,  # last: until it is there, the version was not judged
    }
    client.update_model_version(name, version, report.as_note(found))
    for tag, value in tags.items():
        client.set_model_version_tag(name, version, tag, value)
    return place
