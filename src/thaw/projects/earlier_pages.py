"""The report page and model card of a result that an earlier version computed without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.evaluation.last_result import read_last_result
from thaw.evaluation.page.card import CARD
from thaw.evaluation.page.render import PAGE, write_note
from thaw.system.files import write_whole
from thaw.system.project_paths import REGISTERED, REPORTS
from thaw.system.repeat_command import repeat_command

if TYPE_CHECKING:
    from pathlib import Path

_PAGE, _CARD = REPORTS / PAGE, REPORTS / CARD
_TEXT = (
    "An earlier version of thaw computed this result, without a report. "
    f"`{repeat_command('evaluate')}` writes it."
)


def missing_pages() -> list[Path]:
    """Return the paths of page and card, as far as a result has none."""
    if not (REPORTS / "evaluate" / REGISTERED).is_file():
        return []
    return [path for path in (_PAGE, _CARD) if not path.exists()]


def write_missing_pages() -> None:
    """Write files that name the command which writes the report, if a result has none."""
    missing = missing_pages()
    if not missing:
        return
    try:
        result = read_last_result(REPORTS / "evaluate")
    except ThawError:  # a report is damaged: evaluate runs again
        result = None
    title = f"{result.model_name} version {result.version}" if result else "Result"
    if _PAGE in missing:
        write_note(title, _TEXT, _PAGE)
    if _CARD in missing:
        write_whole(_CARD, f"# {title}\n\n{_TEXT}\n".encode())
