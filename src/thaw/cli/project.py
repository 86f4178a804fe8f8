"""Verbs that create and upgrade a project."""

from __future__ import annotations

import contextlib
import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thaw.cli.project_folder import load_params, require_project
from thaw.errors import grouped
from thaw.system.project_paths import SPOOL

if TYPE_CHECKING:
    from thaw.projects.image_survey import Survey
    from thaw.projects.upgrade import Upgrade

_MOST_SHOWN = 12  # classes that are printed


def register(app: typer.Typer) -> None:
    """Add the verbs of this module to ``app``."""
    for verb in (init, upgrade, repair, doctor):
        app.command()(verb)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the new project.")],
    images: Annotated[
        Path | None,
        typer.Option(
            help="A folder with one folder per class (or train/, val/, test/ with those in each) "
            "or with tar shards, a CSV file with the columns path,label[,split], or a public data "
            "set: torchvision:NAME, hf:NAME."
        ),
    ] = None,
    existing: Annotated[
        bool, typer.Option("--existing", help="Create the project beside other files in DIR.")
    ] = False,
) -> None:
    """Create a project: parameters and pipeline for a set of images."""
    from thaw.projects.creation import IMAGES, create_project, is_public_set
    from thaw.projects.first_commit import has_commit

    found = create_project(folder, images, existing=existing)
    typer.echo(f"new project: {folder.resolve()}")
    if is_public_set(images):
        typer.echo(f"{images} is read from {IMAGES}; the first `dvc repro` downloads it")
    elif found is None:
        typer.echo(
            "put the images into its folder data/raw, one folder per class; then run `thaw check`"
        )
    else:
        _print_survey(found, folder)
    with contextlib.chdir(folder):
        is_committed = has_commit()
    commit = "" if is_committed else "git add --all && git commit -m 'New project' && "
    if not is_committed:
        typer.echo("Nothing is committed yet; `dvc exp run` and `thaw promote` need a commit")
    place = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    typer.echo(f"Next:  {place}{commit}dvc repro")


def upgrade(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; list what would change.")
    ] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Keep the outputs of stages in which only the code of thaw has changed, and "
            "record that in thaw.lock.",
        ),
    ] = False,
) -> None:
    """Adapt the project to the installed thaw; `dvc repro` then runs what has changed."""
    require_project()
    from thaw.projects.upgrade import apply_upgrade, plan_upgrade

    plan = plan_upgrade(keep=keep)
    if not dry_run:
        apply_upgrade(plan)
    _print_upgrade(plan)
    if dry_run:
        typer.echo("(--dry-run: nothing was written)")


def repair() -> None:
    """Restore damaged prepared data and models; deliver to MLflow what waits for it."""
    require_project()
    from thaw.projects.repair import DAMAGED
    from thaw.projects.repair import repair as run

    found = run()
    for paths, what in (
        (found.restored, "was damaged or missing: taken from DVC's cache"),
        (found.cached, "the copy in DVC's cache was damaged or missing: replaced"),
        (found.lost, "damaged or missing here and in DVC's cache: `dvc repro` computes it again"),
    ):
        for path in paths:
            typer.echo(f"{path}: {what}")
    typer.echo(f"{len(found.intact)} files are intact")
    if found.moved:
        typer.echo(f"damaged files were moved to {DAMAGED}: delete it when you do not need them")
    _deliver_waiting()


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Examine machine, packages and project, and say what to do; exit code 1 on an error."""
    from thaw.projects.doctor import State, examine

    found = examine()
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            mark = {State.OK: "   ", State.WARNING: " ! ", State.ERROR: " X "}[finding.state]
            typer.echo(f"{mark}{finding.subject}: {finding.text}")
            if finding.remedy:
                typer.echo(f"     -> {finding.remedy}")
    if any(finding.state is State.ERROR for finding in found):
        raise typer.Exit(1)


def _deliver_waiting() -> None:
    """Deliver the epochs of stages that ended while the MLflow store was away."""
    if not any(SPOOL.glob("*.jsonl")):  # importing MLflow takes more than a second
        return
    from thaw.tracking.delivery import deliver_waiting

    params = load_params()
    if delivered := deliver_waiting(params.tracking):
        typer.echo(f"the epochs of {delivered} stages were delivered to MLflow")


def _print_upgrade(plan: Upgrade) -> None:
    files = [str(path) for path in (*plan.texts, *plan.outputs)]
    if files:
        typer.echo(f"converted: {', '.join(files)}")
    for old, new in plan.renames:
        typer.echo(f"renamed in params.yaml: {old} -> {new}")
    again = [stage for stage in plan.changed if stage not in plan.kept]
    if plan.kept:
        typer.echo(f"outputs kept, made by other code: {', '.join(plan.kept)}")
    for stage, reason in plan.not_kept.items():
        typer.echo(f"not kept: {stage}, in which more than the code has changed: {reason}")
    if again:
        typer.echo(f"`dvc repro` runs again, because the code is another: {', '.join(again)}")
    else:
        typer.echo("no stage runs again because of its code")
    if plan.removable:
        typer.echo(f"not needed any more, you can remove: {', '.join(plan.removable)}")


def _print_survey(found: Survey, folder: Path) -> None:
    counts = found.counts
    typer.echo(
        f"{sum(counts.values())} images in {len(counts)} classes: {_shortened(_pairs(counts))}"
    )
    if found.splits:
        typer.echo(f"splits of the source: {', '.join(_pairs(found.splits))}")
    if found.short_sides:
        low, high = min(found.short_sides), max(found.short_sides)
        typer.echo(f"short sides: {low} to {high} pixels, median {found.median_side}")
    for note in found.notes:
        typer.echo(note)
    if found.problems:
        count = f"{len(found.problems)} problem{'s' * (len(found.problems) != 1)}"
        typer.echo(f"`dvc repro` will refuse these images ({count}):")
        for problem in grouped(found.problems):
            typer.echo(f"  - {problem}")
    root = Path(found.data.root)
    if not root.is_absolute() and not (folder / root).is_symlink():
        typer.echo(f"Keep track of the images: dvc add {shlex.quote(str(root))}")


def _pairs(counts: dict[str, int]) -> list[str]:
    from thaw.ingest.listing import shown_path

    return [f"{shown_path(name)} {count}" for name, count in counts.items()]


def _shortened(texts: list[str]) -> str:
    more = len(texts) - _MOST_SHOWN
    return ", ".join(texts[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
