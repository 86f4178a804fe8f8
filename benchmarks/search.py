"""The figures of the search, beside the naive way in the same run: `make bench-search`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.children import child
from tests.project import Project
from tests.search import kills

_PARTS = "search_parts.py"
_HALF = 4  # of Lite0's nine blocks


def main(
    trials: Annotated[int, typer.Option(help="Cached trials that speed is measured on.")] = 60,
    naive: Annotated[int, typer.Option(help="Naive ones.")] = 3,
    budget: Annotated[int, typer.Option(help="Trials of each search for quality.")] = 12,
    seeds: Annotated[int, typer.Option(help="Searches for quality, of each kind.")] = 3,
    killed: Annotated[int, typer.Option(help="Trials of the search whose workers die.")] = 200,
    kill_count: Annotated[int, typer.Option(help="How many die.")] = 5,
    workers: Annotated[int, typer.Option(help="Of that search.")] = 4,
    small: Annotated[bool, typer.Option("--small", help="32 pixels, few epochs.")] = False,  # noqa: FBT002
) -> None:
    """Measure everything and print the table."""
    table = Table(title=f"thaw search on {os.cpu_count()} cores")
    for name in ("figure", "to reach", "measured"):
        table.add_column(name)
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        if small:
            project.small()
        project.run("dvc", "repro", "prepare")
        for depth, name, goal in (
            (0, "head-only trials an hour, cached over naive", "100 x"),
            (_HALF, f"trials over depth 0 to {_HALF}, cached over naive", "10 x"),
        ):
            found = child(project.folder, _PARTS, "speed", trials, naive, depth)
            rates = f"{3600 / found['cached']:.0f} to {3600 / found['naive']:.0f} an hour"
            table.add_row(name, goal, f"{found['naive'] / found['cached']:.0f} x ({rates})")
        table.add_row(*quality(project, budget, seeds))
        gap = child(project.folder, _PARTS, "equal")["difference"]
        name = "cached against uncached, largest difference of a weight"
        table.add_row(name, "1e-5", f"{gap:.1e}")
        both = child(project.folder, _PARTS, "overhead", 50)
        total = both["optuna"] + both["mlflow"]
        text = f"{total:.3f} s ({both['optuna']:.3f} + {both['mlflow']:.3f})"
        table.add_row("Optuna + MLflow overhead a trial", "0.1 s", text)
    with tempfile.TemporaryDirectory() as folder:
        table.add_row(*deaths(Project(Path(folder)), killed, workers, kill_count))
    Console(width=120).print(table)


def quality(project: Project, budget: int, seeds: int) -> tuple[str, str, str]:
    """The best validation loss of equal budgets, over seeds."""
    found = [child(project.folder, _PARTS, "quality", budget, seed, _HALF) for seed in range(seeds)]
    text = ", ".join(
        f"{name} {np.mean([row[name] for row in found]):.4f}" for name in ("cached", "naive")
    )
    gaps = [row["cached"] - row["naive"] for row in found]
    return (
        f"validation loss of the best of {budget} trials, {seeds} seeds",
        "no worse",
        f"{text}; differences {', '.join(f'{gap:+.4f}' for gap in gaps)}",
    )


def deaths(project: Project, trials: int, workers: int, count: int) -> tuple[str, str, str]:
    """A search whose workers are killed."""
    project.small()
    kills.head_only(project)
    project.set(search__confirm_seeds=0)
    project.run("dvc", "repro", "prepare")
    outcome = kills.run_and_kill(project, trials, workers, count)
    lost, twice = trials - outcome.ended, outcome.most - 1
    return (
        f"{workers} workers, {trials} trials, {outcome.killed} SIGKILLs",
        "none lost or twice",
        f"{lost} lost, {twice} twice ({outcome.attempts} attempts, {outcome.children} logged)",
    )


if __name__ == "__main__":
    typer.run(main)
