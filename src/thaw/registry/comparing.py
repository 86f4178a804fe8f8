"""`thaw report --compare`: print what differs between two results, and write a page about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.evaluation.page.comparison import compare
from thaw.evaluation.page.render import write_comparison
from thaw.evaluation.page.thumbnails import data_address
from thaw.registry.stored_results import read_result
from thaw.system.console import ResultConsole, print_line
from thaw.system.project_paths import PREPARED, SCRATCH

if TYPE_CHECKING:
    from thaw.config.result_sections import Tracking

PAGE = SCRATCH / "compare.html"
_MOST_PICTURES = 12


def compare_results(first: str, second: str, tracking: Tracking) -> dict[str, Any]:
    """Return the comparison of two results by their names; write its page.

    Raises:
        ThawError: a result is not found, or they cannot be compared.
    """
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


def show(content: dict[str, Any]) -> None:
    """Print metrics with paired differences, differing parameters, and the path of the page."""
    table = Table("", "A", "B", "B - A", "95 % interval", "B is", box=SIMPLE_HEAD)
    for row in content["metrics"]:
        interval = "-" if row["low"] is None else f"{row['low']:+.4f} to {row['high']:+.4f}"
        values = (f"{row['first']:.4f}", f"{row['second']:.4f}", f"{row['difference']:+.4f}")
        table.add_row(row["label"], *values, interval, row["verdict"])
    for letter, name in zip("AB", content["names"], strict=True):
        print_line(f"{letter}: {name}")
    console = ResultConsole(highlight=False)
    console.print(table)
    counts = content["counts"]
    print_line(
        f"{content['images']} test images: only A is right on {counts['only_first']}, only B on "
        f"{counts['only_second']} (exact McNemar test: p = {counts['p']:.3f})"
    )
    for row in content["params"]:
        console.print(escape(f"{row['name']}: {row['first']} -> {row['second']}"), soft_wrap=True)
    print_line(f"images with different answers, curves: {PAGE}")
