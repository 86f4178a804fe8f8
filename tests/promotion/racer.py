"""One of several processes that promote at once; it imports little, so that it starts fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlflow.tracking import MlflowClient

from thaw.registry.ledger import ConflictError, Ledger
from thaw.registry.ledger_rows import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence


def race(uri: str, name: str, versions: Sequence[int], barrier: Any, results: Any) -> None:
    """Promote one of ``versions`` per round; put (round, version, result) into ``results``."""
    ledger = Ledger(MlflowClient(uri), name)
    for number, version in enumerate(versions):
        barrier.wait(60)
        rows, standing = ledger.complete(), ledger.current_version()
        barrier.wait(60)
        try:
            ledger.record(Decision("promotion", standing, version, standing), rows)
        except ConflictError as error:
            results.put((number, version, str(error)))
        else:
            results.put((number, version, "won"))
