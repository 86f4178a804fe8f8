"""Verbs that create and upgrade a project."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thaw.cli.project_folder import AsJson, load_params, require_project
from thaw.errors import ThawError
from thaw.system.console import activity
from thaw.system.json_output import print_json
from thaw.system.project_paths import SPOOL
from thaw.system.quantities import quantity

_MOST_NAMED = 3  # paths in a message

if TYPE_CHECKING:
    from thaw.tracking.moved_store import Relocation


def register(app: typer.Typer) -> None:
    """Add the verbs of this module to ``app``."""
    # Several files of a pattern such as *.csv, which `init` refuses with what to do.
    app.command(context_settings={"allow_extra_args": True})(init)
    for verb in (upgrade, repair, doctor):
        app.command()(verb)


def init(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the new project.")],
    images: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="<path>",
            help="A folder with one folder per class (or train/, val/, test/ with those in each) "
            "or with tar shards or Parquet files, a CSV file with the columns path,label[,split], "
            "a text file that lists tar shards, or a public data set: torchvision:NAME, hf:NAME.",
        ),
    ] = None,
    existing: Annotated[
        bool, typer.Option("--existing", help="Create the project beside other files in DIR.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a project: parameters and pipeline for a set of images."""
    from thaw.cli.project_output import print_survey, survey_content
    from thaw.projects.creation import IMAGES, create_project, is_public_set
    from thaw.projects.first_commit import has_commit

    source = _only(images or [], context.args)
    found = create_project(folder, source, existing=existing)
    with contextlib.chdir(folder):
        is_committed = has_commit()
    shown = f"./{folder}" if str(folder).startswith("-") else str(folder)  # `cd -` goes back
    place = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(shown)} && "
    commit = "" if is_committed else "git add --all && git commit -m 'New project' && "
    command = f"{place}{commit}dvc repro"
    is_public = is_public_set(source)
    if as_json:
        about = {"project": folder.resolve(), "is_committed": is_committed, "next": command}
        survey = survey_content(found) if found else None
        print_json({**about, "public_set": source if is_public else None, "images": survey})
        return
    typer.echo(f"new project: {folder.resolve()}")
    if is_public:
        typer.echo(f"{source} is read from {IMAGES}; the first `dvc repro` downloads it")
    elif found is None:
        typer.echo(f"It expects images in its folder {IMAGES}, one folder per class")
    else:
        print_survey(found, folder)
    if not is_committed:
        typer.echo("Nothing is committed yet; `dvc exp run` and `thaw promote` need a commit")
    has_problems = found is not None and found.problems
    first = "correct the data, then " if has_problems else ""
    if found is None and not is_public:
        first = "put the images there (or change the section data of params.yaml), then "
    typer.echo(f"Next:  {first}{command}")


def _only(images: list[Path], others: list[str]) -> Path | None:
    """Return the value of --images; ``others`` are arguments that belong to nothing.

    Raises:
        ThawError: there are several, of which Typer would drop all but the last in silence.
    """
    if others and not images:
        raise ThawError(f"`thaw init` takes one folder, and then got {' '.join(others)}")
    if others or len(images) > 1:
        given = " and ".join([*map(str, images), *others[:_MOST_NAMED]])
        more = len(others) - _MOST_NAMED
        given += f" and {more} more" if more > 0 else ""
        raise ThawError(
            f"--images takes one path, not {given}: put the rows of several CSV files into one "
            "file; for several folders, write a CSV file that lists their images"
        )
    return images[0] if images else None


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
    as_json: AsJson = False,
) -> None:
    """Adapt the project to the installed thaw; `dvc repro` then runs what has changed."""
    require_project()
    from thaw.cli.project_output import command_after_upgrade, print_upgrade, upgrade_content
    from thaw.projects.upgrade import apply_upgrade, plan_upgrade

    plan = plan_upgrade(keep=keep)
    if not dry_run:
        apply_upgrade(plan)
    if as_json:
        print_json({"is_written": not dry_run, **upgrade_content(plan)})
        return
    print_upgrade(plan)
    if dry_run:
        typer.echo("(--dry-run: nothing was written)")
    elif command := command_after_upgrade(plan):
        typer.echo(f"Next:  {command}")


def repair(as_json: AsJson = False) -> None:
    """Restore damaged data and models; correct MLflow's store of a project that was moved.

    Epochs of stages that ended while the store did not answer are delivered to it.
    """
    require_project()
    from thaw.cli.project_output import print_relocation
    from thaw.projects.repair import DAMAGED
    from thaw.projects.repair import repair as run

    found = run()
    if as_json:
        moved = _relocate_store()
        store = asdict(moved) if moved else None
        print_json({**asdict(found), "store": store, "delivered_stages": _deliver_waiting()})
        return
    for paths, what in (
        (found.restored, "was damaged or missing: taken from DVC's cache"),
        (found.cached, "the copy in DVC's cache was damaged or missing: replaced"),
        (found.lost, "damaged or missing here and in DVC's cache: `dvc repro` computes it again"),
    ):
        for path in paths:
            typer.echo(f"{path}: {what}")
    typer.echo(f"{quantity(len(found.intact), 'file is', 'files are')} intact")
    if found.moved:
        typer.echo(f"damaged files were moved to {DAMAGED}: delete it when you do not need them")
    if moved := _relocate_store():
        print_relocation(moved)
    if delivered := _deliver_waiting():
        typer.echo(f"the epochs of {quantity(delivered, 'stage')} were delivered to MLflow")


def doctor(
    as_json: AsJson = False,
) -> None:
    """Examine machine, packages and project, and say what to do; exit code 1 on an error."""
    with activity("loading the packages") as show:
        from thaw.projects.doctor import examine
        from thaw.projects.finding import State

        found = examine(lambda part: show(f"examining: {part}"))
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        for finding in found:
            mark = {State.OK: "   ", State.WARNING: " ! ", State.ERROR: " X "}[finding.state]
            typer.echo(f"{mark}{finding.subject}: {finding.text}")
            if finding.remedy:
                typer.echo(f"     -> {finding.remedy}")
    if any(finding.state is State.ERROR for finding in found):
        raise typer.Exit(1)


def _relocate_store() -> Relocation | None:
    """Correct the places in the project's MLflow store, if it was moved."""
    from thaw.tracking.moved_store import relocate

    return relocate(load_params().tracking)


def _deliver_waiting() -> int:
    """Deliver the epochs of ended stages that MLflow has not got yet; return how many."""
    if not any(SPOOL.glob("*.jsonl")):  # importing MLflow takes more than a second
        return 0
    from thaw.tracking.delivery import deliver_waiting

    return deliver_waiting(load_params().tracking)
