"""The command line: the application, its global options and the registration of all verbs."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from thaw import __version__
from thaw.cli import advice, parameters, pipeline, project, registry, search, serving
from thaw.errors import ThawError
from thaw.system import environment
from thaw.system.console import end_with_closed_output
from thaw.system.processes import run_main

_LEAST_COLUMNS_OF_TABLE = 70  # in fewer, tables of help cut the names of options


class _Verbs(TyperGroup):
    """The verbs of the command."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; say what a missing argument is, and leave out pydantic's "Value error, ".

        Raises:
            ThawError: the working directory was deleted.
            BadParameter: a choice is refused, or an argument is missing.
        """
        try:
            os.getcwd()  # noqa: PTH109  (Path.cwd would keep no path either)
        except FileNotFoundError:
            raise ThawError(
                "the working directory was deleted or moved: change to a folder that exists"
            ) from None
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            end_with_closed_output()
        except typer.BadParameter as error:
            help_text = getattr(error.param, "help", None) or ""  # a missing one has no message
            error.message = error.message.removeprefix("Value error, ") or help_text
            raise
        else:
            return result


app = typer.Typer(
    cls=_Verbs,
    help="Transfer learning for images: reproducible, tracked, gated. Start with "
    "`thaw init DIR --images FOLDER`, then `dvc repro` in DIR.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (project, pipeline, parameters, advice, search, registry, serving):
    group.register(app)


@app.callback()
def global_options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version.",
            is_eager=True,
            callback=lambda value: _print_version(is_wanted=value),
        ),
    ] = False,
) -> None:
    """Accept the options that stand before a verb."""


def run() -> None:
    """Run the command line."""
    environment.clean()
    fit_help_to_terminal()
    run_main(app, after_interrupt="run the same command again", is_verb=True)


def fit_help_to_terminal() -> None:
    """Print help as plain text in a narrow terminal."""
    if shutil.get_terminal_size().columns < _LEAST_COLUMNS_OF_TABLE:
        app.rich_markup_mode = None


def _print_version(*, is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"thaw {__version__}")
        raise typer.Exit
