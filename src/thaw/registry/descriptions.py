"""The description of a registered version: its model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.tracking.store import connect

if TYPE_CHECKING:
    from thaw.config.result_sections import Tracking


def describe(tracking: Tracking, name: str, version: int, text: str) -> None:
    """Set the description of a version, unless it has one: a user may have written it."""
    client, _ = connect(tracking)
    if not client.get_model_version(name, str(version)).description:
        client.update_model_version(name, str(version), description=text)
