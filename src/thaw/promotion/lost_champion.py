"""Explain what happened to a champion that no longer exists, and what can be done."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from thaw.promotion.rollback import rollback_command, rollback_targets
from thaw.registry.aliases import version_exists
from thaw.registry.champion_history import last_known_version
from thaw.registry.doubtful_rows import damage, doubtful_rows
from thaw.registry.names import CHAMPION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.registry.ledger import Ledger
    from thaw.registry.ledger_rows import Row


def explain_lost_champion(ledger: Ledger, rows: Sequence[Row], candidate: str = "VERSION") -> str:
    """Return what happened to the last version with the alias, and the commands that help.

    Empty if a version has the alias, or none ever had it. ``candidate`` is the version to promote.
    If damaged rows hide whether a version had the alias, the text names them.
    """
    alias, last = ledger.alias, last_known_version(rows, ledger.first_by_tag())
    if ledger.current_version() is not None:
        return ""
    if last is None:
        return _explain_damage(ledger, candidate)
    happened = f"version {last}, the last {alias}, was deleted"
    if version_exists(ledger.client, ledger.name, last):
        happened = f"the {alias} alias was removed from version {last}"
    targets = rollback_targets(ledger, rows, None)
    solution = f"there is no earlier {alias} to go back to"
    if targets:
        command = rollback_command(ledger.name, alias)
        solution = f"`{command}` makes version {targets[-1]} the {alias} again"
    return (
        f"{happened}, so that there is nothing to compare with: {solution}; "
        f"{_forced(ledger, candidate)}"
    )


def _explain_damage(ledger: Ledger, candidate: str) -> str:
    """Return which rows hide whether a version had the alias, "" if there are none."""
    doubtful = doubtful_rows(ledger)
    if not doubtful:
        return ""
    options = f"--model {shlex.quote(ledger.name)}"
    options += "" if ledger.alias == CHAMPION else f" --alias {ledger.alias}"
    return (
        f"{damage(doubtful)}. They may say that a version was the {ledger.alias}, and there is "
        f"nothing to compare with: `thaw history --verify {options}` lists "
        f"them; {_forced(ledger, candidate)}"
    )


def _forced(ledger: Ledger, candidate: str) -> str:
    options = f"--model {shlex.quote(ledger.name)}"
    options += "" if ledger.alias == CHAMPION else f" --to {ledger.alias}"
    return (
        f'`thaw promote {candidate} {options} --force --reason "..."` promotes without a comparison'
    )
