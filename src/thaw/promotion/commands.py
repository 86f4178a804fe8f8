"""The commands of the registry: each runs one operation and prints its result.

An error of the MLflow store becomes one line. Imports of torch stay in the command that needs it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from thaw.promotion import tables
from thaw.registry.alias_names import check_alias
from thaw.registry.ledger import Ledger
from thaw.registry.names import REFUSED
from thaw.tracking.store import command_errors, connect

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.params import Params
    from thaw.config.result_sections import Tracking
    from thaw.promotion.promote import PromotionRequest

_console = Console(highlight=False)


def promote(params: Params, prepared: Path, request: PromotionRequest) -> bool:
    """Promote a version and print the gate's table; return whether the alias was moved."""
    from thaw.promotion import gate_report
    from thaw.promotion import promote as promotion

    with command_errors(params.tracking):
        check_alias(request.alias)
        report = promotion.promote(params, prepared, request)
    gate_report.show(report, _console)
    _print(f"{report.verdict}: {report.summary}")
    if report.verdict == REFUSED:
        return False
    _print(
        f"{report.name} version {report.version} is the {report.alias}; `thaw rollback` goes back"
    )
    return True


def rollback(tracking: Tracking, name: str, alias: str, reason: str) -> None:
    """Roll the alias back and print both versions."""
    from thaw.promotion.rollback import rollback as roll_back

    with command_errors(tracking):
        decision = roll_back(_ledger(tracking, name, alias), reason)
    _print(f"{name} version {decision.to} is the {alias} again (it was version {decision.origin})")


def history(tracking: Tracking, name: str, alias: str) -> None:
    """Print every promotion, refusal and rollback."""
    with command_errors(tracking):
        ledger = _ledger(tracking, name, alias)
        ledger.complete()  # raises if there is no such model
        rows, model_created = ledger.all_rows(), ledger.model_created
    if not rows:
        _print(f"{name}: no version was promoted or refused yet (`thaw promote`)")
        return
    _console.print(tables.history_table(name, alias, rows, model_created))


def status(tracking: Tracking, name: str) -> None:
    """Print every alias."""
    from thaw.promotion.lost_champion import explain_lost_champion
    from thaw.promotion.status import alias_statuses

    with command_errors(tracking):
        client, _ = connect(tracking)
        statuses = alias_statuses(client, name)
        ledger = Ledger(client, name)
        explanation = explain_lost_champion(ledger, ledger.rows())
    _console.print(tables.status_table(name, statuses, datetime.now(UTC)))
    if explanation:
        _print(f"{name} has no champion: {explanation}")


def copy(tracking: Tracking, source: str, name: str, to_uri: str) -> None:
    """Copy a version and print the new one."""
    from thaw.registry.copying import copy_version

    with command_errors(tracking):
        copied = copy_version(source, name, tracking, to_uri)
    _print(f"{source} is {copied.name} version {copied.version}, @challenger there")


def _ledger(tracking: Tracking, name: str, alias: str) -> Ledger:
    check_alias(alias)
    client, _ = connect(tracking)
    return Ledger(client, name, alias)


def _print(line: str) -> None:
    _console.print(Text(line), soft_wrap=True)
