"""Show the results of several seeds as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.console import Console

Rows = Sequence[dict[str, Any]]


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Return mean and sample standard deviation as text."""
    if not values:
        return "-"
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"


def markdown(head: Sequence[str], body: Sequence[Sequence[str]], console: Console) -> None:
    """Print a table as Markdown."""
    for cells in (head, ["---"] * len(head), *body):
        console.print(f"| {' | '.join(cells)} |", soft_wrap=True, markup=False, highlight=False)
    console.print()
