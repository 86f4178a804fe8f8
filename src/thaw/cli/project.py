"""Verbs that create and upgrade a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thaw.cli.project_folder import require_project

if TYPE_CHECKING:
    from thaw.projects.image_survey import Survey

_MOST_SHOWN = 12  # classes or problems that are printed


def register(app: typer.Typer) -> None:
    """Add the verbs of this module to ``app``."""
    for verb in (init, upgrade):
        app.command()(verb)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the new project.")],
    images: Annotated[
        Path | None,
        typer.Option(
            help="A folder with one folder per class (or train/, val/, test/ with those in each), "
            "or a CSV file with the columns path,label[,split]."
        ),
    ] = None,
) -> None:
    """Create a project: parameters and pipeline for a set of images."""
    from thaw.projects.creation import create_project

    found = create_project(folder, images)
    if found is None:
        typer.echo(f"{folder}: put the images into data/raw, one folder per class")
    else:
        _print_survey(found)
    typer.echo(f"Next:  cd {folder} && git add --all && git commit -m 'New project' && dvc repro")


def upgrade(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; list the stages that run again.")
    ] = False,
) -> None:
    """Write thaw.lock for the installed thaw; `dvc repro` then runs what has changed."""
    require_project()
    from thaw.projects.upgrade import upgrade as run

    run(is_dry=dry_run)


def _print_survey(found: Survey) -> None:
    counts = found.counts
    typer.echo(
        f"{sum(counts.values())} images in {len(counts)} classes: {_shortened(_pairs(counts))}"
    )
    if found.splits:
        typer.echo(f"splits of the source: {', '.join(_pairs(found.splits))}")
    if found.short_sides:
        low, high = min(found.short_sides), max(found.short_sides)
        typer.echo(f"short sides: {low} to {high} pixels, median {found.median_side}")
    if found.problems:
        typer.echo(f"`dvc repro` will refuse these images ({len(found.problems)} problems):")
        for problem in found.problems[:_MOST_SHOWN]:
            typer.echo(f"  - {problem}")
    if not Path(found.data.path).is_absolute():
        typer.echo(f"Keep track of the images: dvc add {found.data.root}")


def _pairs(counts: dict[str, int]) -> list[str]:
    return [f"{name} {count}" for name, count in counts.items()]


def _shortened(texts: list[str]) -> str:
    more = len(texts) - _MOST_SHOWN
    return ", ".join(texts[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
