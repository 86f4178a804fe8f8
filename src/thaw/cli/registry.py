"""Verbs of the model registry: promote, roll back, list, copy, open MLflow's pages."""

from __future__ import annotations

from typing import Annotated

import typer

from thaw.cli.project_folder import DEVICE_HELP, MODEL_HELP, PREPARED, load_params
from thaw.system import launching
from thaw.system.devices import choose_device

_Device = Annotated[str, typer.Option(help=DEVICE_HELP)]


def register(app: typer.Typer) -> None:
    """Add the verbs of this module to ``app``."""
    for verb in (promote, rollback, history, status, copy, ui):
        app.command()(verb)


def promote(
    version: Annotated[
        int | None, typer.Argument(min=1, help="By default the @challenger.")
    ] = None,
    to: Annotated[str, typer.Option(help="The alias to give to the version.")] = "champion",
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Promote even if the gate refuses.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Text for the history.")] = "",
    device: _Device = "auto",
) -> None:
    """Compare a version with the champion; promote it if the gate passes (else exit code 1)."""
    params = load_params()
    launching.set_environment()
    from thaw.promotion import commands
    from thaw.promotion.promote import PromotionRequest

    name = model or params.tracking.registered_model
    request = PromotionRequest(name, to, version, force, reason, choose_device(device))
    if not commands.promote(params, PREPARED, request):
        raise typer.Exit(1)


def rollback(
    reason: Annotated[str, typer.Option(help="Text for the history.")] = "",
    alias: Annotated[str, typer.Option(help="The alias to set back.")] = "champion",
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "",
) -> None:
    """Make the previous champion the champion again."""
    tracking = load_params().tracking
    from thaw.promotion import commands

    commands.rollback(tracking, model or tracking.registered_model, alias, reason)


def history(
    alias: Annotated[str, typer.Option(help="The alias.")] = "champion",
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "",
) -> None:
    """List every promotion, refusal and rollback."""
    tracking = load_params().tracking
    from thaw.promotion import commands

    commands.history(tracking, model or tracking.registered_model, alias)


def status(model: Annotated[str, typer.Option(help=MODEL_HELP)] = "") -> None:
    """Show every alias of the model: version, scores, run, age, gate result."""
    tracking = load_params().tracking
    from thaw.promotion import commands

    commands.status(tracking, model or tracking.registered_model)


def copy(
    source: Annotated[str, typer.Argument(help="models:/A@champion or models:/A/3")],
    name: Annotated[str, typer.Argument(help="The registered model to copy to.")],
    to_uri: Annotated[str, typer.Option(help="Another MLflow store or server.")] = "",
) -> None:
    """Copy a version to another registered model, with its scores, report and lineage."""
    tracking = load_params().tracking
    from thaw.promotion import commands

    commands.copy(tracking, source, name, to_uri)


def ui(
    port: Annotated[int, typer.Option(help="The port, on this machine only.")] = 5000,
) -> None:
    """Serve the MLflow UI on this project's store."""
    tracking = load_params().tracking
    from thaw.tracking.ui import replace_by_ui

    replace_by_ui(tracking, port)
