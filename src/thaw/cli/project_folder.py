"""The check that a verb runs in a project's folder, and the paths and options that verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thaw.config.loading import load
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.system.missing_project import explain_missing_project
from thaw.system.path_texts import refuse_undecodable
from thaw.system.project_paths import PARAMS_FILE

MODEL_HELP = "The registered model; by default the one in params.yaml."
Device = Annotated[
    str, typer.Option(help="auto (a GPU if there is one), cpu, cuda or cuda:N with N from 0.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, for programs, and nothing else.")
]


def load_params() -> Params:
    """Return the parameters of the project in the working directory.

    Raises:
        ThawError: the working directory is not a project, or its ``params.yaml`` is not valid.
    """
    require_project()
    return load(Params)


def require_project(*, is_model_wanted: bool = False) -> None:
    """Check that the working directory is a project.

    ``is_model_wanted``: the verb only reads a registered model, so that the message names the
    variable for the registry, too.

    Raises:
        ThawError: there is no ``params.yaml``, or the path of the folder is not valid text.
    """
    refuse_undecodable(Path(), "the folder of the project")
    if not PARAMS_FILE.exists():
        raise ThawError(explain_missing_project(Path.cwd(), is_model_wanted=is_model_wanted))
