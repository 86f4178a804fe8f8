"""The verb that searches for better parameters."""

from __future__ import annotations

from typing import Annotated

import typer

from thaw.cli.project_folder import AsJson, Device, load_params
from thaw.errors import ThawError
from thaw.system.project_paths import PREPARED


def register(app: typer.Typer) -> None:
    """Add the verb of this module to ``app``."""
    app.command()(search)


def search(
    trials: Annotated[
        int, typer.Option(min=1, help="Number of trials of the study, over all its runs.")
    ] = 50,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that run trials; by default one per GPU, or one without a GPU, where "
            "one per core is fastest.",
        ),
    ] = None,
    per_device: Annotated[
        int, typer.Option(min=1, help="Workers that share a GPU, if --workers is not given.")
    ] = 1,
    device: Device = "auto",
    apply: Annotated[
        bool, typer.Option("--apply", help="Run no trial; write the best values to params.yaml.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Run no trial; show the study.")] = False,
    study: Annotated[
        str, typer.Option(help="Name of the study; by default that of these parameters.")
    ] = "",
    trial: Annotated[
        int | None, typer.Option(help="With --apply: this trial instead of the best.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Search for better parameters; continue where the last search ended."""
    params = load_params()
    if trial is not None and not apply:
        raise ThawError(
            f"--trial {trial} belongs to --apply, which writes its values: add --apply; the number "
            f"of trials of a search is --trials {trial}"
        )
    from thaw.cli.search_output import print_applied, print_study
    from thaw.search import applying, commands
    from thaw.search.storage import explain_failures

    if apply:
        print_applied(applying.apply(PREPARED, study, trial), as_json=as_json)
        return
    if show:
        found = commands.find(PREPARED, study)
    else:
        chosen = commands.Workers(workers, device, per_device)
        found = commands.run(PREPARED, trials, chosen, study)
    with explain_failures(params.search.storage):
        print_study(found, as_json=as_json)
    if found.is_interrupted:
        raise KeyboardInterrupt
