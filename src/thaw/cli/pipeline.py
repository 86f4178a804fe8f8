"""Verbs of the pipeline: run a stage, check the parameters, show the result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thaw.cli.project_folder import PREPARED, load_params
from thaw.config import overlaps
from thaw.config.loading import PARAMS_FILE
from thaw.errors import ThawError
from thaw.system import launching, tool_lock
from thaw.system.stage_names import STAGES


def register(app: typer.Typer) -> None:
    """Add the verbs of this module to ``app``."""
    for verb in (stage, check, backbones, report):
        app.command()(verb)


def stage(name: Annotated[str, typer.Argument(help=", ".join(STAGES))]) -> None:
    """Run one stage, as dvc.yaml does (`dvc repro NAME` also runs what it needs)."""
    params = load_params()
    if name not in STAGES:
        raise ThawError(f"there is no stage {name!r}: choose from {', '.join(STAGES)}")
    overlaps.refuse_overlaps(params)
    tool_lock.refuse_other_code(name)
    tool_lock.forget_kept(name)
    launching.replace_process(name, params.launch)


def check() -> None:
    """Check params.yaml, that its data is there, and that no stage would remove it."""
    from thaw.ingest.removal import refuse_unusable
    from thaw.ingest.sources import SOURCES

    params = load_params()
    data = params.data
    for key, path, other in (("path", data.path, data.root), ("root", data.root, data.path)):
        if Path(path).exists():
            continue
        message = f"{PARAMS_FILE}: data.{key}: there is no {path}"
        if key not in SOURCES[data.source].keys:
            message += (
                f"; the source {data.source} does not read it, but DVC requires that it exists: "
                f"set it to {other}"
            )
        raise ThawError(message)
    overlaps.refuse_overlaps(params)
    refuse_unusable(PREPARED)
    typer.echo(f"{PARAMS_FILE} is valid")


def backbones() -> None:
    """List the backbones that can be cut into blocks."""
    from thaw.model import zoo

    typer.echo("\n".join(zoo.names()))


def report() -> None:
    """Show the result of the last `dvc repro`: scores, registered version, next commands."""
    params = load_params()
    from thaw.evaluation import summary

    summary.show(params, Path("reports"))
