"""What the verbs of the registry print; each leaves a failing store as one line."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException
from rich.console import Console
from rich.text import Text

from thaw.errors import ThawError
from thaw.registry.ledger import Ledger
from thaw.registry.names import REFUSED
from thaw.tracking.store import connect, store_uri

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thaw.config.params import Params
    from thaw.config.result_sections import Tracking

_ALIAS = re.compile(r"[A-Za-z][\w-]*")
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)  # by MLflow, which would refuse to move it
_console = Console(highlight=False)


def promote(
    params: Params,
    prepared: Path,
    *,
    name: str,
    alias: str,
    version: int | None,
    force: bool,
    reason: str,
) -> bool:
    """Offer a version, print the gate's table; whether the alias was moved."""
    from thaw.promotion import gate_report
    from thaw.promotion import promote as promotion

    with _told(params.tracking):
        _check(alias)
        found = promotion.promote(
            params, prepared, name=name, alias=alias, version=version, force=force, reason=reason
        )
    gate_report.show(found, _console)
    _say(f"{found.verdict}: {found.summary}")
    if found.verdict == REFUSED:
        return False
    _say(f"{name} version {found.version} is the {alias}; `thaw rollback` goes back")
    return True


def rollback(tracking: Tracking, name: str, alias: str, reason: str) -> None:
    """Go back, and say to whom."""
    from thaw.promotion.rollback import rollback as go_back

    with _told(tracking):
        intent = go_back(_ledger(tracking, name, alias), reason)
    _say(f"{name} version {intent.to} is the {alias} again (it was version {intent.origin})")


def history(tracking: Tracking, name: str, alias: str) -> None:
    """Print every promotion, refusal and rollback."""
    from thaw.promotion.status import history_table

    with _told(tracking):
        ledger = _ledger(tracking, name, alias)
        ledger.settle()  # says so where there is no such model
        rows, model = ledger.all_rows(), ledger.created
    if not rows:
        _say(f"{name}: nobody was promoted or refused yet (`thaw promote`)")
        return
    _console.print(history_table(name, alias, rows, model))


def status(tracking: Tracking, name: str) -> None:
    """Print every alias."""
    from thaw.promotion.lost_champion import explained
    from thaw.promotion.status import standings, status_table

    with _told(tracking):
        client, _ = connect(tracking)
        found = standings(client, name)
        ledger = Ledger(client, name)
        lost = explained(ledger, ledger.rows())
    _console.print(status_table(name, found, datetime.now(UTC)))
    if lost:
        _say(f"{name} has no champion: {lost}")


def copy(tracking: Tracking, source: str, name: str, to_uri: str) -> None:
    """Copy a version, and say what it is there."""
    from thaw.registry.copying import copy as copy_version

    with _told(tracking):
        copied = copy_version(source, name, tracking, to_uri)
    _say(f"{source} is {copied.name} version {copied.version}, @challenger there")


def _ledger(tracking: Tracking, name: str, alias: str) -> Ledger:
    _check(alias)
    client, _ = connect(tracking)
    return Ledger(client, name, alias)


def _check(alias: str) -> None:
    if not _ALIAS.fullmatch(alias):
        raise ThawError(f"{alias!r}: an alias is of letters, digits, '_' and '-'")
    if _RESERVED.fullmatch(alias):
        raise ThawError(f"{alias!r} is reserved by MLflow, as are v1, v2 ...: name another alias")


def _say(line: str) -> None:
    _console.print(Text(line), soft_wrap=True)


@contextlib.contextmanager
def _told(tracking: Tracking) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise ThawError(
            f"tracking: the MLflow store {store_uri(tracking)} failed: {reason}; "
            "the same command goes on where it stopped"
        ) from error
