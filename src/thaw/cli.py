"""The command line: thin verbs over the library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thaw import config, launch
from thaw.errors import ThawError
from thaw.process import run_main

app = typer.Typer(
    help="Transfer learning for images: reproducible, tracked, gated. Start with `dvc repro`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def stage(name: Annotated[str, typer.Argument(help=", ".join(launch.STAGES))]) -> None:
    """Run one stage, as dvc.yaml does (`dvc repro NAME` also runs what it needs)."""
    launch.replace_process(name)


@app.command()
def check() -> None:
    """Check params.yaml, and that the data it names is there."""
    data = config.load(config.Params).data
    for key, path in (("data.path", data.path), ("data.root", data.root)):
        if not Path(path).exists():
            raise ThawError(f"{config.PARAMS}: {key}: there is no {path}")
    print(f"{config.PARAMS} is valid")  # noqa: T201


@app.command()
def backbones() -> None:
    """List the backbones that can be cut into blocks."""
    from thaw.model import zoo

    print("\n".join(zoo.names()))  # noqa: T201


@app.command()
def report() -> None:
    """Show what the last `dvc repro` made: scores, registered version, what to type next."""
    from thaw import summary

    summary.show(config.load(config.Params), Path("reports"))


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Where to listen, on this machine only.")] = 5000,
) -> None:
    """Serve the MLflow UI on this project's store."""
    launch.replace_by_ui(port)


def main() -> None:
    """Run the command line."""
    run_main(app)
