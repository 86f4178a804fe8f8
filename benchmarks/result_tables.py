"""Show the results of several seeds as a Markdown table and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

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


def show(rows: Rows, names: Sequence[str], arms: Sequence[str], console: Console) -> None:
    """Print one line per arm and data set, with the gain of ``advised`` over it, paired by seed."""
    body = []
    for name in names:
        for arm in arms:
            found = {row["seed"]: row for row in rows if (row["data"], row["arm"]) == (name, arm)}
            best = {
                row["seed"]: row for row in rows if (row["data"], row["arm"]) == (name, "advised")
            }
            both = sorted(found.keys() & best.keys())
            gains = [best[s]["test_accuracy"] - found[s]["test_accuracy"] for s in both]
            if found:
                body.append([
                    name,
                    arm,
                    str(len(found)),
                    spread([row["test_accuracy"] for row in found.values()]),
                    spread([row["test_loss"] for row in found.values()]),
                    "" if arm == "advised" else spread(gains),
                    f"{np.mean([row['seconds'] for row in found.values()]):.0f} s",
                ])  # fmt: skip
    head = ["data", "arm", "seeds", "test accuracy", "log-loss (nats)", "advised - arm", "time"]
    markdown(head, body, console)


def draw(rows: Rows, names: Sequence[str], arms: Sequence[str], path: Path) -> None:
    """Draw one panel per data set with one row per arm: a dot per seed and a bar at the mean."""
    from matplotlib.figure import Figure

    present = [name for name in names if any(row["data"] == name for row in rows)]
    if not present:
        return
    figure = Figure(figsize=(3.2 * len(present) + 1, 2.6), layout="constrained")
    axes = figure.subplots(1, len(present), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, present, strict=True):
        for place, arm in enumerate(arms):
            values = [
                row["test_accuracy"] for row in rows if (row["data"], row["arm"]) == (name, arm)
            ]
            colour = "tab:red" if arm == "advised" else "tab:blue"
            axis.plot(values, [place] * len(values), "o", color=colour, alpha=0.6)
            if values:
                axis.plot(np.mean(values), place, "|", color=colour, markersize=18)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("test accuracy")
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(arms)), arms)
    axes[0].invert_yaxis()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
