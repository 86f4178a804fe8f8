"""Speed and quality of `thaw search` against naive trials: `make bench TARGETS=search`."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from benchmarks.search_measurements import PRUNERS
from benchmarks.subprocesses import read_result, run_script, start_script
from tests.project import Project
from tests.search import killing
from thaw.search.trained_heads import FOLDER as HEADS
from thaw.system.project_paths import ACTIVATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Figure = tuple[str, str, str]  # name, goal, measured value

_PARTS = "search_measurements.py"
_HALF = 4  # of Lite0's nine blocks
_NAMES = ("speed0", "speed4", "quality", "equal", "overhead", "deaths")
_console = Console(width=120, soft_wrap=True, highlight=False)


def main(  # noqa: PLR0913  (the options of the command line)
    trials: Annotated[int, typer.Option(help="Cached trials for the speed.")] = 60,
    naive: Annotated[int, typer.Option(help="Naive trials per depth.")] = 1,
    budget: Annotated[int, typer.Option(help="Trials of each search for quality.")] = 8,
    seeds: Annotated[int, typer.Option(help="Searches of each kind for the quality.")] = 3,
    at_once: Annotated[
        str, typer.Option(help="Numbers of workers for the speed, with commas.")
    ] = "",
    killed: Annotated[int, typer.Option(help="Trials of the search with killed workers.")] = 200,
    kill_count: Annotated[int, typer.Option(help="Number of kills.")] = 5,
    workers: Annotated[int, typer.Option(help="Workers of the search with killed workers.")] = 4,
    only: Annotated[str, typer.Option(help=f"Some of {','.join(_NAMES)}.")] = ",".join(_NAMES),
    small: Annotated[bool, typer.Option("--small", help="32 pixels, few epochs.")] = False,  # noqa: FBT002
) -> None:
    """Measure and print each figure as soon as it is known.

    Speed is measured with one worker on all cores (the default) and with one worker per core.
    """
    if unknown := sorted(set(only.split(",")) - set(_NAMES)):
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(_NAMES)}")
    wanted = [name for name in _NAMES if name in only.split(",")]
    counts = [int(word) for word in (at_once or f"1,{os.cpu_count()}").split(",")]
    parts: dict[str, Callable[[Project], Iterator[Figure]]] = {
        "speed0": lambda project: speed(project, counts, trials, naive, 0),
        "speed4": lambda project: speed(project, counts, trials, naive, _HALF),
        "quality": lambda project: quality(project, budget, seeds),
        "equal": equal,
        "overhead": overhead,
        "deaths": lambda _: deaths(killed, workers, kill_count),
    }
    _console.print(f"thaw search on {os.cpu_count()} cores{', small' if small else ''}")
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        if small:
            project.small()
        project.run("dvc", "repro", "prepare")
        for name in wanted:
            for figure, goal, measured in parts[name](project):
                _console.print(f"{name}: {figure}: [bold]{measured}[/] (to reach: {goal})")


def speed(
    project: Project, counts: Iterable[int], trials: int, naive: int, depth: int
) -> Iterator[Figure]:
    """Yield the speed of cached trials relative to naive ones, with the same number of workers.

    First without pruner from an empty cache, where all trials have as many epochs as the naive
    ones; then with thaw's pruner and a full cache.
    """
    what = f"trials over depth 0 to {depth}" if depth else "head-only trials"
    goal = "10 x" if depth else "100 x"
    for workers in counts:
        rows = _workers(project, workers, trials, naive, depth)
        for pruner in PRUNERS:
            found = [row[pruner] for row in rows]
            cold = sum(row["cold"] for row in found)
            cached = sum(row["seconds"] for row in found) / trials
            steady, slow = cached - cold / trials, fmean(row["naive"] for row in found)
            rates = f"{workers * 3600 / steady:.0f} to {workers * 3600 / slow:.0f}"
            pruned = ", pruned" if pruner != "none" else ""
            yield (
                f"{what} an hour, cached{pruned}, over naive, {workers} at a time",
                goal,
                f"{slow / steady:.1f} x ({rates})",
            )
            if not pruned:
                yield (
                    f"  the same over {trials} trials from an empty cache",
                    "-",
                    f"{slow / cached:.1f} x ({cold / workers:.0f} s for what is computed once)",
                )


def _workers(
    project: Project, workers: int, trials: int, naive: int, depth: int
) -> list[dict[str, Any]]:
    """Return the results of all workers of one study, which share the cores."""
    for kept in (ACTIVATIONS, HEADS):
        shutil.rmtree(project.folder / kept, ignore_errors=True)
    name = f"speed-{depth}-{workers}"
    threads = max(1, (os.cpu_count() or 1) // workers)
    started = [
        start_script(project.folder, _PARTS, "speed", name, trials, naive, depth, threads=threads)
        for _ in range(workers)
    ]
    return [read_result(process) for process in started]


def quality(project: Project, budget: int, seeds: int) -> Iterator[Figure]:
    """Yield the best validation loss of cached and naive searches of the same number of trials."""
    found: list[dict[str, Any]] = []
    for seed in range(seeds):
        found.append(run_script(project.folder, _PARTS, "quality", budget, seed, _HALF))
        row = found[-1]
        yield (
            f"validation loss of the best of {budget} trials, seed {seed}",
            "no worse",
            f"cached {row['cached']:.4f}, naive {row['naive']:.4f}",
        )
    means = {name: fmean(row[name] for row in found) for name in ("cached", "naive")}
    yield (
        f"the same, mean of {seeds} seeds",
        "no worse",
        f"cached {means['cached']:.4f}, naive {means['naive']:.4f}",
    )


def equal(project: Project) -> Iterator[Figure]:
    """Yield the difference of the final weights of a cached and a naive trial."""
    gap = run_script(project.folder, _PARTS, "equal")["difference"]
    yield "cached against naive training, largest difference of a weight", "0", f"{gap:.1e}"


def overhead(project: Project) -> Iterator[Figure]:
    """Yield the seconds per trial that Optuna and MLflow take."""
    both = run_script(project.folder, _PARTS, "overhead", 50)
    total = both["optuna"] + both["mlflow"]
    text = f"{total:.3f} s ({both['optuna']:.3f} + {both['mlflow']:.3f})"
    yield "Optuna + MLflow overhead a trial", "0.1 s", text


def deaths(trials: int, workers: int, count: int) -> Iterator[Figure]:
    """Yield the lost and repeated trials of a search whose workers are killed at random times."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        project.small()
        killing.search_heads_only(project)
        project.set(search__confirm_seeds=0)
        project.run("dvc", "repro", "prepare")
        outcome = killing.run_and_kill(project, trials, workers, count, killing.all_workers)
    lost, twice = trials - outcome.trials_with_result, outcome.most_results_of_a_trial - 1
    yield (
        f"{workers} workers, {trials} trials, {outcome.killed} SIGKILLs",
        "none lost or twice",
        f"{lost} lost, {twice} twice ({outcome.attempts} attempts, {outcome.child_runs} logged)",
    )


if __name__ == "__main__":
    typer.run(main)
