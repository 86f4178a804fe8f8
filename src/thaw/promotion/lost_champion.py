"""What became of a champion that is not there any more, and the ways out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.promotion.rollback import earlier
from thaw.registry.ledger import exists
from thaw.registry.ledger_rows import last_known
from thaw.registry.names import CHAMPION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thaw.registry.ledger import Ledger
    from thaw.registry.ledger_rows import Row


def explained(ledger: Ledger, rows: Sequence[Row], offered: str = "VERSION") -> str:
    """Return what happened to the last champion and what can be done, for whom nobody followed.

    Empty where the alias stands, or nobody ever stood there. ``offered`` is the version to promote.
    """
    alias, last = ledger.alias, last_known(rows, ledger.first())
    if last is None or ledger.standing() is not None:
        return ""
    happened = f"version {last}, the last {alias}, was deleted"
    if exists(ledger.client, ledger.name, last):
        happened = f"the {alias} alias was removed from version {last}"
    model, back, to = f" --model {ledger.name}", "", ""
    if alias != CHAMPION:
        back, to = f" --alias {alias}", f" --to {alias}"
    stack = earlier(ledger, rows, None)
    way = f"there is no earlier {alias} to go back to"
    if stack:
        way = f"`thaw rollback{model}{back}` makes version {stack[-1]} the {alias} again"
    return (
        f"{happened}, so that there is nothing to compare with: {way}; `thaw promote "
        f'{offered}{model}{to} --force --reason "..."` promotes without a comparison'
    )
