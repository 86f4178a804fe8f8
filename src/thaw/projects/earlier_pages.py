"""The report page of a result that an earlier version computed, which had none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.evaluation.last_result import read_last_result
from thaw.evaluation.page.render import PAGE, write_note
from thaw.system.project_paths import REPORTS

if TYPE_CHECKING:
    from pathlib import Path

_PAGE = REPORTS / PAGE
_TEXT = (
    "An earlier version of thaw computed this result, without a report page. "
    "`dvc repro -f evaluate` writes one."
)


def missing_page() -> Path | None:
    """Return the path of the page if a result has none."""
    has_result = (REPORTS / "evaluate" / "registered.json").is_file()
    return _PAGE if has_result and not _PAGE.exists() else None


def write_missing_page() -> None:
    """Write a page that names the command which writes the report, if a result has none."""
    if missing_page() is None:
        return
    try:
        result = read_last_result(REPORTS / "evaluate")
    except ThawError:  # a report is damaged: evaluate runs again
        result = None
    title = f"{result.model_name} version {result.version}" if result else "Result"
    write_note(title, _TEXT, _PAGE)
