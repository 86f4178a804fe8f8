"""Print the comparison of two results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from thaw.system.console import ResultConsole, print_line
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from pathlib import Path


def print_comparison(content: dict[str, Any], page: Path) -> None:
    """Print metrics with paired differences, differing parameters, and the path of the page."""
    table = Table("", "A", "B", "B - A", "95 % interval", "B is", box=SIMPLE_HEAD)
    for row in content["metrics"]:
        interval = "-" if row["low"] is None else f"{row['low']:+.4f} to {row['high']:+.4f}"
        values = (f"{row['first']:.4f}", f"{row['second']:.4f}", f"{row['difference']:+.4f}")
        table.add_row(row["label"], *values, interval, row["verdict"])
    for letter, name in zip("AB", content["names"], strict=True):
        print_line(f"{letter}: {name}")
    ResultConsole(highlight=False).print(table)
    counts = content["counts"]
    print_line(
        f"{quantity(content['images'], 'test image')}: only A is right on "
        f"{counts['only_first']}, only B on {counts['only_second']} "
        f"(exact McNemar test: p = {counts['p']:.3f})"
    )
    for row in content["params"]:
        print_line(f"{row['name']}: {row['first']} -> {row['second']}")
    print_line(f"images with different answers, curves: {page}")
