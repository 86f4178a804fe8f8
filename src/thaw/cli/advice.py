"""Verbs that measure the data and the backbone before training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thaw.cli.project_folder import AsJson, Device, require_project
from thaw.config import overlaps
from thaw.errors import ThawError
from thaw.literals import LrTestStage
from thaw.system import launching
from thaw.system.devices import choose_device
from thaw.system.project_paths import MODELS, PREPARED, REPORTS
from thaw.system.writable_outputs import refuse_unwritable

# Formats in which matplotlib names itself, so that the next picture may replace the file.
_PICTURES = (".pdf", ".png", ".svg")
_Picture = Annotated[Path, typer.Option(help="The picture of the result.")]
_Stage = Annotated[LrTestStage, typer.Argument(help="The stage.")]


def register(app: typer.Typer) -> None:
    """Add the verbs of this module to ``app``."""
    for verb in (probe, advise, find_lr):
        app.command()(verb)


def probe(
    picture: _Picture = REPORTS / "probe.png",
    *,
    as_json: AsJson = False,
    device: Device = "auto",
) -> None:
    """Probe every block of the backbone with a linear classifier: which features are general?"""
    require_project()
    _refuse_picture(picture)
    launching.set_environment()
    from thaw.cli.advice_output import show_probe

    show_probe(PREPARED, picture, choose_device(device), as_json=as_json)


def advise(
    apply: Annotated[bool, typer.Option("--apply", help="Write them to params.yaml.")] = False,
    backbones: Annotated[
        str,
        typer.Option(
            metavar="NAME[=WEIGHTS],...",
            help="Rank these backbones by their best head instead; --apply writes the best one.",
        ),
    ] = "",
    as_json: AsJson = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Begin no comparison after that time; default: all. Not with --backbones.",
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Compare inputs, heads and trainings on this data, and recommend the best ones."""
    require_project()
    launching.set_environment()
    if backbones:
        if minutes is not None:
            raise ThawError(
                "--minutes does not hold for --backbones: a ranking compares all of them in the "
                "same way. Leave it out; fewer backbones, or a lower warmup_head.compared_images, "
                "take less time"
            )
        from thaw.cli.ranking_output import rank_backbones

        rank_backbones(backbones, PREPARED, choose_device(device), apply=apply, as_json=as_json)
        return
    from thaw.cli.advice_output import show_advice

    show_advice(PREPARED, choose_device(device), apply=apply, as_json=as_json, minutes=minutes)


def find_lr(
    phase: _Stage = "unfreeze",
    picture: _Picture = REPORTS / "rates.png",
    *,
    as_json: AsJson = False,
    device: Device = "auto",
) -> None:
    """Find a learning rate: train some hundred steps while it rises, keep nothing."""
    require_project()
    _refuse_picture(picture)
    launching.set_environment()
    from thaw.advice.lr_range import find_rates
    from thaw.cli.advice_output import show_rates

    found = find_rates(phase, PREPARED, MODELS, picture, choose_device(device))
    show_rates(found, as_json=as_json)


def _refuse_picture(picture: Path) -> None:
    """Raise if ``picture`` is no name of a picture, or a file that is not an earlier picture."""
    overlaps.refuse_no_file(picture, "--picture")
    overlaps.refuse_output(picture, "--picture")
    overlaps.refuse_to_replace(picture, "--picture", (b"atplotlib",), "a picture of thaw's")
    if picture.suffix not in {"", *_PICTURES}:
        endings = ", ".join(_PICTURES)
        raise ThawError(f"--picture: {picture}: give a name that ends in one of {endings}")
    refuse_unwritable(picture, "--picture")
