"""Offer a version to the gate and, if it is let through, move the alias to it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.promotion import gate_report, report_storage
from thaw.promotion.gate import Origin, Rule, judge
from thaw.promotion.gate_report import Report
from thaw.promotion.lost_champion import explained
from thaw.promotion.scoring import score_version
from thaw.registry import names
from thaw.registry.fetch import Version, resolve
from thaw.registry.ledger import Ledger, aliases
from thaw.registry.ledger_rows import Intent, before, expected, last_known, let_in
from thaw.registry.names import CHALLENGER, PREVIOUS
from thaw.system import dvc_lock, provenance
from thaw.tracking.run_owner import user
from thaw.tracking.store import connect
from thaw.training.runtime import start

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

    from thaw.config.params import Params
    from thaw.registry.ledger_rows import Row

_NOBODY = "there is no champion yet: floors, ceilings and provenance alone decide"
_RECREATED = (
    "the registered model was deleted and created again: it is a new model, and the champions of "
    "the earlier one do not count (`thaw history`)"
)
_AGAIN = "it was scored again on the one that is here"


@dataclass(frozen=True)
class Offer:
    """A version for an alias, and what stood there when the offer was made.

    ``first`` is the first champion where only a tag says it.
    """

    ledger: Ledger
    version: int
    against: int | None
    rows: Sequence[Row]
    first: int | None = None

    @property
    def is_robbed(self) -> bool:
        """Whether nobody stands there, but somebody once did: there is nothing to compare."""
        return self.against is None and last_known(self.rows, self.first) is not None

    @property
    def is_by_hand(self) -> bool:
        """Whether who stands there was put there by no promotion."""
        return self.against is not None and self.against != expected(self.rows, self.first)


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
        ThawError: there is no such version, it stands there already, the alias or its version was
            removed, or force has no reason.
    """
    if force and not reason.strip():
        raise ThawError('--force needs a reason: --force --reason "..."')
    if alias in {CHALLENGER, PREVIOUS}:
        raise ThawError(f"--to {alias}: thaw moves that alias itself; promote to another one")
    client, _ = connect(params.tracking)
    offer = look(Ledger(client, name, alias), version)
    if offer.is_robbed and not force:
        raise ThawError(f"{name}: {_robbed(offer)}")
    found = examine(params, prepared, offer, force=force, reason=reason)
    decide(offer, found)
    return found


def look(ledger: Ledger, version: int | None = None) -> Offer:
    """Finish what a process that died had begun; then see what stands, and who is offered."""
    rows = ledger.settle()
    standing = aliases(ledger.client, ledger.name)
    version = standing.get(CHALLENGER) if version is None else version
    if version is None:
        raise ThawError(f"{ledger.name} has no @{CHALLENGER}: name a version (`thaw status`)")
    against = standing.get(ledger.alias)
    if version == against:
        raise ThawError(f"{ledger.name} version {version} is the {ledger.alias} already")
    return Offer(ledger, version, against, rows, ledger.first())


def examine(params: Params, prepared: Path, offer: Offer, *, force: bool, reason: str) -> Report:
    """Score both on the test split that is here, and judge."""
    data = Prepared(prepared)
    ledger, bins = offer.ledger, params.evaluate.calibration_bins
    versions = [offer.version] if offer.against is None else [offer.version, offer.against]
    entries = [_version(params, ledger.client, ledger.name, number) for number in versions]
    # as it is served: in one process, in fp32
    launch = params.launch.model_copy(update={"processes": 1, "mixed_precision": "no"})
    runtime = start(launch, params.resources)
    scored = [
        score_version(Version(ledger.name, number), data, runtime, bins) for number in versions
    ]
    challenger, champion = scored[0], scored[1] if len(scored) == 2 else None
    targets = data.manifest.targets[data.manifest.ids("test")]
    origin = _origin(params, ledger.client, entries[0], data, prepared)
    rules = judge(params.promote, challenger, champion, targets, origin, bins)
    state = provenance.git_state()
    return Report(
        name=ledger.name,
        version=offer.version,
        alias=ledger.alias,
        against=offer.against,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        who=f"{user()}@{socket.gethostname()}",
        images=len(targets),
        rules=[*rules, *_comparison(offer)],
        metrics=gate_report.numbers(challenger, champion),
        recalls=gate_report.recalls(challenger, champion),
        notes=[*_notes(offer, entries[1:], origin.test_here), *_of_rules(state)],
        reason=reason,
        force=force,
        commit=state[0] if state else "",
        dirty=bool(state and state[1]),
    )


def decide(offer: Offer, found: Report) -> None:
    """Keep the report with the run and the version; then the row in the history, and the alias.

    Raises:
        ConflictError: the alias was moved since the offer was made.
    """
    refused = found.verdict == names.REFUSED
    place = report_storage.log(offer.ledger.client, found)
    why = found.summary if not found.reason else f"{found.reason} ({found.summary})"
    intent = Intent(
        kind="refusal" if refused else "promotion",
        origin=offer.against,
        to=offer.version,
        previous=before(offer.rows, offer.first, offer.against, offer.version),
        why=why,
        report=place,
        forced=found.verdict == names.FORCED,
    )
    was_let_in = offer.version in let_in(offer.rows, offer.first)
    with report_storage.tagged(offer.ledger.client, found, place, was_let_in=was_let_in):
        offer.ledger.record(intent, offer.rows)


def _version(params: Params, client: MlflowClient, name: str, number: int) -> ModelVersion:
    resolve(f"models:/{name}/{number}", params.tracking)
    return client.get_model_version(name, str(number))


def _origin(
    params: Params, client: MlflowClient, entry: ModelVersion, data: Prepared, prepared: Path
) -> Origin:
    reads_all = params.promote.provenance.dvc_lock  # which takes a while where there is much
    tags = _run_tags(client, entry.run_id)
    return Origin(
        tagged_digest=entry.tags.get(names.DIGEST, ""),
        commit=tags.get("mlflow.source.git.commit", ""),
        dirty=tags.get("thaw.git_dirty", ""),
        data_digest=tags.get("thaw.data_digest", ""),
        lock_digest=tags.get("thaw.dvc_lock", ""),
        data_here=data.manifest.digest,
        lock_here=provenance.lock_digest(),
        test_digest=entry.tags.get(names.TEST_DIGEST, ""),
        test_here=data.split_digest("test"),
        prepared_locked=dvc_lock.recorded(prepared) if reads_all else "",
        prepared_here=dvc_lock.lying(prepared) if reads_all else "",
    )


def _run_tags(client: MlflowClient, run_id: str | None) -> dict[str, str]:
    """The tags of a run; none where the run is gone."""
    try:
        found: dict[str, str] = client.get_run(run_id).data.tags if run_id else {}
    except MlflowException:
        return {}
    return found


def _robbed(offer: Offer) -> str:
    return explained(offer.ledger, offer.rows, str(offer.version))


def _comparison(offer: Offer) -> list[Rule]:
    """A rule that nobody passes, but by force, where there should be a champion and is none."""
    if not offer.is_robbed:
        return []
    return [
        Rule(
            name="comparison",
            challenger="",
            champion="none",
            needed="a champion",
            passed=False,
            sentence=_robbed(offer),
        )
    ]


def _notes(offer: Offer, champions: list[ModelVersion], test_here: str) -> list[str]:
    if not champions and offer.is_robbed:
        return []
    if not champions:
        is_new = len(offer.ledger.all_rows()) > len(offer.ledger.rows())
        return [_NOBODY, _RECREATED] if is_new else [_NOBODY]
    version, tagged = champions[0].version, champions[0].tags.get(names.TEST_DIGEST, "")
    notes = []
    if offer.is_by_hand:
        notes.append(f"version {version} was put there by hand: no promotion led to it")
    if not tagged:
        notes.append(f"it is not known which test split version {version} was scored on: {_AGAIN}")
    elif tagged != test_here:
        notes.append(
            f"the test split changed since version {version} was scored: {_AGAIN}, and may have "
            "been trained on images that are in it now, which would flatter it"
        )
    return notes


def _of_rules(state: tuple[str, bool] | None) -> list[str]:
    if state is None:
        return ["this is no git checkout: it is not known whether the rules are committed"]
    changed = "params.yaml, dvc.yaml or src differs from commit"
    return [f"{changed} {state[0][:12]}: so may the rules"] if state[1] else []
