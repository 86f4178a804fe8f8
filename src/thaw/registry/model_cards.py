"""Read the model card of a registered version from its run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thaw.evaluation.page.card import CARD
from thaw.registry.artifact_files import file_of_run
from thaw.registry.fetch import resolve
from thaw.registry.names import PREFIX
from thaw.system.project_paths import DEPLOYED, REPORTS
from thaw.tracking.store import command_errors, connect_read_only

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw.config.result_sections import Tracking


def read_card(name: str, tracking: Callable[[], Tracking]) -> str:
    """Return the card of ``name``, "" if it has none.

    ``name`` is ``models:/NAME/VERSION`` or a folder; the deployed model of this project has the
    card of its last result. ``tracking`` returns the registry.

    Raises:
        ThawError: there is no such version, or the store does not answer.
    """
    if not name.startswith(PREFIX):
        is_deployed = Path(name).resolve() == DEPLOYED.resolve()
        path = REPORTS / CARD
        return path.read_text(encoding="utf-8") if is_deployed and path.is_file() else ""
    settings = tracking()
    version = resolve(name, settings)
    with command_errors(settings):
        client = connect_read_only(settings)
        run_id = client.get_model_version(version.name, str(version.number)).run_id
    content = file_of_run(client, str(run_id), CARD) if run_id else None
    return "" if content is None else content.decode("utf-8")  # None: of an earlier version
