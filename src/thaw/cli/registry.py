"""Verbs of the model registry: promote, roll back, list, copy, open MLflow's pages."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (Typer reads it)
from typing import Annotated

import typer

from thaw.cli.project_folder import MODEL_HELP, AsJson, Device, load_params
from thaw.system import launching
from thaw.system.devices import choose_device
from thaw.system.path_texts import refuse_undecodable_text
from thaw.system.project_paths import PREPARED


def _checked_text(parameter: typer.CallbackParam, value: str) -> str:
    """Return ``value``, which goes to the store.

    Raises:
        ThawError: it has bytes that are no text.
    """
    refuse_undecodable_text(value, parameter.opts[0])
    return value


_Model = Annotated[str, typer.Option(help=MODEL_HELP, callback=_checked_text)]
_Reason = Annotated[str, typer.Option(help="Text for the history.", callback=_checked_text)]


def register(app: typer.Typer) -> None:
    """Add the verbs of this module to ``app``."""
    for verb in (promote, rollback, history, status, copy, ui, signing_key):
        app.command()(verb)


def promote(
    version: Annotated[
        int | None, typer.Argument(min=1, help="By default the @challenger.")
    ] = None,
    to: Annotated[
        str, typer.Option(help="The alias to give to the version.", callback=_checked_text)
    ] = "champion",
    model: _Model = "",
    force: Annotated[
        bool, typer.Option("--force", help="Promote even if the gate refuses.")
    ] = False,
    reason: _Reason = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Run the gate only; record and move nothing.")
    ] = False,
    *,
    as_json: AsJson = False,
    device: Device = "auto",
) -> None:
    """Compare a version with the champion; promote it if the gate passes (else exit code 1)."""
    params = load_params()
    launching.set_environment()
    from thaw.cli import registry_commands as commands
    from thaw.promotion.promote import PromotionRequest

    name = model or params.tracking.registered_model
    chosen = choose_device(device)
    request = PromotionRequest(name, to, version, force, reason, chosen, dry_run)
    if not commands.promote(params, PREPARED, request, as_json=as_json):
        raise typer.Exit(1)


def rollback(
    reason: _Reason = "",
    alias: Annotated[
        str, typer.Option(help="The alias to set back.", callback=_checked_text)
    ] = "champion",
    model: _Model = "",
    as_json: AsJson = False,
) -> None:
    """Make the previous champion the champion again."""
    params = load_params()
    from thaw.cli import registry_commands as commands

    name = model or params.tracking.registered_model
    keys = params.promote.public_keys
    commands.rollback(params.tracking, name, alias, reason, keys, as_json=as_json)


def history(
    alias: Annotated[str, typer.Option(help="The alias.", callback=_checked_text)] = "champion",
    model: _Model = "",
    verify: Annotated[
        bool, typer.Option("--verify", help="Check digests and signatures of all rows.")
    ] = False,
    sign: Annotated[
        bool, typer.Option("--sign", help="Sign rows that were written before there was a key.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List every promotion, refusal and rollback; with --verify, exit code 1 if one is forged."""
    params = load_params()
    from thaw.cli import registry_commands as commands

    tracking, keys = params.tracking, params.promote.public_keys
    name = model or tracking.registered_model
    if sign:
        commands.sign_history(tracking, name, alias, keys)
    if verify or as_json:
        is_verified = commands.verify_history(tracking, name, alias, keys, as_json=as_json)
        raise typer.Exit(1 if verify and not is_verified else 0)
    if not sign:
        commands.history(tracking, name, alias, keys)


def status(
    model: _Model = "",
    as_json: AsJson = False,
) -> None:
    """Show every alias of the model: version, scores, run, age, gate result."""
    params = load_params()
    from thaw.cli import registry_commands as commands

    name = model or params.tracking.registered_model
    commands.status(params.tracking, name, params.promote.public_keys, as_json=as_json)


def copy(
    source: Annotated[
        str, typer.Argument(help="models:/A@champion or models:/A/3", callback=_checked_text)
    ],
    name: Annotated[
        str, typer.Argument(help="The registered model to copy to.", callback=_checked_text)
    ],
    to_uri: Annotated[
        str, typer.Option(help="Another MLflow store or server.", callback=_checked_text)
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Copy a version to another registered model, with its scores, report and lineage."""
    tracking = load_params().tracking
    from thaw.cli import registry_commands as commands

    commands.copy(tracking, source, name, to_uri, as_json=as_json)


def ui(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="The port, on this machine only.")
    ] = 5000,
) -> None:
    """Serve the MLflow UI on this project's store."""
    tracking = load_params().tracking
    from thaw.tracking.ui import replace_by_ui

    replace_by_ui(tracking, port)


def signing_key(
    path: Annotated[Path, typer.Argument(help="The file of the private key, outside the project.")],
    as_json: AsJson = False,
) -> None:
    """Make a key that signs the decisions in the history of a model."""
    from thaw.cli import registry_commands as commands

    commands.make_key(path, as_json=as_json)
