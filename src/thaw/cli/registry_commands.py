"""Run each operation of the registry for its verb, and print the result.

An error of the MLflow store becomes one line. Imports of torch stay in the command that needs it.
"""

from __future__ import annotations

import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from thaw.cli import alias_tables as tables
from thaw.errors import ThawError
from thaw.promotion import verification
from thaw.promotion.rollback import rollback as roll_back
from thaw.promotion.rollback import rollback_command
from thaw.registry.alias_names import check_alias
from thaw.registry.champion_history import last_move
from thaw.registry.ledger import Ledger
from thaw.registry.names import PASSED, REFUSED
from thaw.system.console import ResultConsole, say
from thaw.system.json_output import print_json
from thaw.system.project_paths import PARAMS_FILE
from thaw.system.quantities import quantity
from thaw.tracking.store import command_errors, connect_to_read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.config.params import Params
    from thaw.config.result_sections import Tracking
    from thaw.promotion.gate_report import Report
    from thaw.promotion.promote import PromotionRequest

_console = ResultConsole(highlight=False)


def promote(
    params: Params, prepared: Path, request: PromotionRequest, *, as_json: bool = False
) -> bool:
    """Promote a version and print the gate's table, or JSON; return whether it may pass."""
    from thaw.cli import gate_table
    from thaw.promotion import gate_report
    from thaw.promotion import promote as promotion

    keys = params.promote.public_keys
    with command_errors(params.tracking):
        check_alias(request.alias)
        report = promotion.promote(params, prepared, request)
        if not request.dry_run:
            _update_pages(params.tracking, report.name, (report.version, report.against), keys)
    if as_json:
        print_json(gate_report.content_of(report))
        return report.verdict != REFUSED
    gate_table.show(report, _console)
    verdict = "" if report.verdict == PASSED else f"{report.verdict}: "  # "passed all 13 rules"
    _print(f"{verdict}{report.summary}")
    if request.dry_run:
        _print("dry run: nothing is recorded, and no alias moves")
        return report.verdict != REFUSED
    if report.verdict == REFUSED:
        _print(_next_steps(report))
        return False
    command = rollback_command(report.name, report.alias)
    way_back = f"; `{command}` goes back" if report.against else ""
    _print(f"{report.name} version {report.version} is the {report.alias}{way_back}")
    return True


def _next_steps(report: Report) -> str:
    unchanged = f"version {report.against} stays the {report.alias}; " if report.against else ""
    command = (
        f"thaw promote {report.version} --model {shlex.quote(report.name)} --to {report.alias}"
    )
    return (
        f"{unchanged}nothing was changed. The failed rules are explained above. "
        f'`{command} --force --reason "..."` promotes it anyway'
    )


def rollback(
    tracking: Tracking,
    name: str,
    alias: str,
    reason: str,
    trusted: Sequence[str] = (),
    *,
    as_json: bool = False,
) -> None:
    """Roll the alias back and print both versions. ``trusted`` are the keys that sign decisions."""
    with command_errors(tracking):
        ledger = _ledger(tracking, name, alias, trusted)
        verification.warn_of_problems(ledger)
        decision = roll_back(ledger, reason)
        _update_pages(tracking, name, (decision.origin, decision.to), trusted)
    if as_json:
        moved = {"from": decision.origin, "to": decision.to, "reason": reason}
        print_json({"model": name, "alias": alias, **moved})
        return
    _print(f"{name} version {decision.to} is the {alias} again (it was version {decision.origin})")


def history(tracking: Tracking, name: str, alias: str, trusted: Sequence[str] = ()) -> None:
    """Print every promotion, refusal and rollback."""
    with command_errors(tracking):
        ledger = _ledger(tracking, name, alias, trusted)
        ledger.complete()  # raises if there is no such model
        verification.warn_of_problems(ledger)
        rows, model_created = ledger.all_rows(), ledger.model_created
    if not rows:
        _print(
            f"{name} @{alias}: no version was promoted or refused yet (`thaw promote --to {alias}`)"
        )
        return
    _console.print(tables.history_table(name, alias, rows, model_created, _console.width))
    for line in tables.report_lines(rows):
        _print(line)


def verify_history(
    tracking: Tracking, name: str, alias: str, trusted: Sequence[str], *, as_json: bool
) -> bool:
    """Print whether each row verifies, as JSON if ``as_json``; return whether all do.

    No alias is moved.
    """
    with command_errors(tracking):
        found = verification.verify(_ledger(tracking, name, alias, trusted))
    if as_json:
        print_json(verification.content_of(found, trusted))
        return found.is_verified
    for row in found.rows:
        decision = row.decision
        what = f"{decision.kind}, version {decision.origin or 'none'} to {decision.to}"
        _print(f"ok    row {row.number}: {what} ({verification.how_verified(row, trusted)})")
    for row in found.unsigned:
        _print(f"WRONG row {row.number}: not signed by a key of promote.public_keys (skipped)")
    for problem in found.problems:
        _print(f"WRONG {problem}")
    result = "verified" if found.is_verified else "NOT verified"
    _print(
        f"{found.ledger}: {quantity(len(found.rows), 'row')}, {result}; head {found.head or 'none'}"
    )
    return found.is_verified


def sign_history(tracking: Tracking, name: str, alias: str, trusted: Sequence[str]) -> None:
    """Append a signed row that takes over the unsigned ones, and say so."""
    with command_errors(tracking):
        row = verification.sign(_ledger(tracking, name, alias, trusted))
    say(f"{name} @{alias}: row {row.number} {row.decision.why}")


def status(
    tracking: Tracking, name: str, trusted: Sequence[str] = (), *, as_json: bool = False
) -> None:
    """Print every alias, as JSON if ``as_json``."""
    from thaw.promotion.lost_champion import explain_lost_champion
    from thaw.promotion.status import alias_statuses

    with command_errors(tracking):
        client = connect_to_read(tracking)
        statuses = alias_statuses(client, name, trusted)
        ledger = Ledger(client, name, trusted=trusted)
        verification.warn_of_problems(ledger)
        rows = ledger.rows()
        explanation = explain_lost_champion(ledger, rows)
    if as_json:
        print_json(tables.status_content(name, statuses, explanation))
        return
    now, width = datetime.now(UTC), _console.width
    _console.print(tables.status_table(name, statuses, now, width))
    for line in tables.status_lines(statuses, now, width):
        _print(line)
    if explanation:
        _print(f"{name} has no champion: {explanation}")
    elif line := tables.rollback_line(statuses, last_move(rows)):
        _print(line)


def copy(tracking: Tracking, source: str, name: str, to_uri: str, *, as_json: bool = False) -> None:
    """Copy a version and print the new one."""
    from thaw.registry.copying import copy_version

    with command_errors(tracking):
        copied = copy_version(source, name, tracking, to_uri)
    if as_json:
        print_json({"source": source, **asdict(copied)})
        return
    _print(f"{source} is {copied.name} version {copied.version}, @{copied.alias} there")


def make_key(path: Path, *, as_json: bool = False) -> None:
    """Write a new private key to ``path`` and print how it is used.

    Raises:
        ThawError: ``path`` is in the project or its repository, exists, or cannot be written.
    """
    from thaw.registry.signing import KEY_FILE, create_key

    _refuse_in_project(path)
    public = create_key(path).public
    if as_json:
        print_json({"private_key": path.resolve(), "public_key": public, "variable": KEY_FILE})
        return
    _print(f"wrote the private key {path}: keep it out of the project and its repository")
    _print(f"who promotes sets {KEY_FILE}={path.resolve()}")
    _print("params.yaml gets the public key:")
    _print("promote:")
    _print(f'  public_keys: ["{public}"]')


def _refuse_in_project(path: Path) -> None:
    """Raise if ``path`` is in the project of the working directory or in its git repository."""
    project = Path.cwd()
    if not (project / PARAMS_FILE).exists():
        return
    folders = [project, *project.parents]
    repository = next((folder for folder in folders if (folder / ".git").exists()), project)
    if path.resolve().is_relative_to(repository.resolve()):
        raise ThawError(
            f"{path} is in {repository}, where `git add` would take the private key: give a path "
            "outside of the project and its repository"
        )


def _ledger(tracking: Tracking, name: str, alias: str, trusted: Sequence[str]) -> Ledger:
    check_alias(alias)
    client = connect_to_read(tracking)
    return Ledger(client, name, alias, trusted)


def _update_pages(
    tracking: Tracking, name: str, versions: Sequence[int | None], trusted: Sequence[str]
) -> None:
    from thaw.promotion.release_pages import update_run_pages

    update_run_pages(connect_to_read(tracking), name, versions, trusted)


def _print(line: str) -> None:
    _console.print(Text(line.replace("\n", "\\n")), soft_wrap=True)
