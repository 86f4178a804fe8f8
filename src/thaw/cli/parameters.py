"""The verb that lists and explains parameters."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from thaw.cli.project_folder import AsJson, load_params
from thaw.system.json_output import print_json


def register(app: typer.Typer) -> None:
    """Add the verb of this module to ``app``."""
    app.command()(params)


def _known_keys(incomplete: str) -> list[str]:
    """Return the keys and sections that begin with ``incomplete``, for a shell that completes."""
    from thaw.config.parameter import parameters
    from thaw.config.params import Params

    keys = [parameter.key for parameter in parameters(Params)]
    sections = [key for key in Params.model_fields if key not in keys]
    return [key for key in (*sections, *keys) if key.startswith(incomplete)]


def params(
    key: Annotated[
        str,
        typer.Argument(
            help="A parameter or a section, such as unfreeze.lr or augment.",
            autocompletion=_known_keys,
        ),
    ] = "",
    *,
    as_json: AsJson = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of params.yaml for editors.")
    ] = False,
) -> None:
    """List the parameters with their values, or explain one: default, range, meaning, source."""
    from thaw.config import reference
    from thaw.config.schema import schema_text

    if schema:
        typer.echo(schema_text(), nl=False)
        return
    found = reference.describe(load_params(), key)
    if as_json:
        print_json([asdict(parameter) for parameter in found])
    elif key:
        typer.echo("\n\n".join(reference.details(parameter) for parameter in found))
    else:
        typer.echo(reference.overview(found))
