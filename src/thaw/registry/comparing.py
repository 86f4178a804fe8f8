"""Compare two results by their names, and write the page of `thaw report --compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.evaluation.page.comparison import compare
from thaw.evaluation.page.render import write_comparison
from thaw.evaluation.page.thumbnails import data_address
from thaw.registry.stored_results import read_result
from thaw.system.project_paths import PREPARED, SCRATCH
from thaw.system.writable_outputs import refuse_unwritable

if TYPE_CHECKING:
    from thaw.config.result_sections import Tracking

PAGE = SCRATCH / "compare.html"
_MOST_PICTURES = 12


def compare_results(first: str, second: str, tracking: Tracking) -> dict[str, Any]:
    """Return the comparison of two results by their names; write its page.

    Raises:
        ThawError: a result is not found, or they cannot be compared.
    """
    refuse_unwritable(PAGE, "thaw report --compare")
    content = compare(read_result(first, tracking), read_result(second, tracking))
    _add_pictures(content)
    write_comparison(content, PAGE)
    return content


def _add_pictures(content: dict[str, Any]) -> None:
    """Add pictures to the first images with different answers, where this project has them."""
    for row in content["answers"]:
        row["src"] = None
    try:
        data = Prepared(PREPARED)
    except ThawError:
        return
    ids = {row.path: row.id for row in data.manifest.rows}
    for row in content["answers"][:_MOST_PICTURES]:
        if row["path"] in ids:
            row["src"] = data_address(data.store.thumbnail(ids[row["path"]]))
