"""Verbs that create and upgrade a project."""

from __future__ import annotations

from typing import Annotated

import typer

from thaw.cli.project_folder import require_project


def register(app: typer.Typer) -> None:
    """Add the verbs of this module to ``app``."""
    app.command()(upgrade)


def upgrade(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; list the stages that run again.")
    ] = False,
) -> None:
    """Write thaw.lock for the installed thaw; `dvc repro` then runs what has changed."""
    require_project()
    from thaw.project.upgrade import upgrade as run

    run(is_dry=dry_run)
