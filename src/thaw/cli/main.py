"""The command line: thin verbs over the library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from thaw.config import overlaps
from thaw.config import params as config
from thaw.errors import ThawError
from thaw.system import launching
from thaw.system.processes import run_main

PREPARED = Path("data/prepared")
MODEL = "The registered model; by default the one in params.yaml."
SERVED = "models:/NAME@ALIAS, models:/NAME/VERSION or a model's folder."
Runtime = Annotated[
    Literal["torch", "onnx"],
    typer.Option(help="ONNX Runtime is faster on CPUs; it takes the extra `export`."),
]

app = typer.Typer(
    help="Transfer learning for images: reproducible, tracked, gated. Start with `dvc repro`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def stage(name: Annotated[str, typer.Argument(help=", ".join(launching.STAGES))]) -> None:
    """Run one stage, as dvc.yaml does (`dvc repro NAME` also runs what it needs)."""
    params = config.load(config.Params)
    overlaps.refuse_overlaps(params)
    launching.replace_process(name, params.launch)


@app.command()
def check() -> None:
    """Check params.yaml, that its data is there, and that no stage would remove it."""
    from thaw.ingest.removal import refuse_foreign

    params = config.load(config.Params)
    data = params.data
    for key, path in (("data.path", data.path), ("data.root", data.root)):
        if not Path(path).exists():
            raise ThawError(f"{config.PARAMS}: {key}: there is no {path}")
    overlaps.refuse_overlaps(params)
    refuse_foreign(PREPARED)
    print(f"{config.PARAMS} is valid")  # noqa: T201


@app.command()
def backbones() -> None:
    """List the backbones that can be cut into blocks."""
    from thaw.model import zoo

    print("\n".join(zoo.names()))  # noqa: T201


@app.command()
def probe(
    picture: Annotated[Path, typer.Option(help="Where to draw the result.")] = Path(
        "reports/probe.png"
    ),
) -> None:
    """Probe every block of the backbone with a linear classifier: which features are general?"""
    _refuse_picture(picture)
    launching.set_environment()
    from thaw.advice.tables import show_probe

    show_probe(PREPARED, picture)


@app.command()
def advise(
    apply: Annotated[bool, typer.Option("--apply", help="Write the values.")] = False,  # noqa: FBT002
) -> None:
    """Say how to train on this data, with the numbers that say so."""
    launching.set_environment()
    from thaw.advice.tables import show_advice

    show_advice(PREPARED, apply=apply)


@app.command()
def find_lr(
    phase: Annotated[
        Literal["warmup_head", "unfreeze"], typer.Argument(help="Whose learning rate.")
    ] = "unfreeze",
    picture: Annotated[Path, typer.Option(help="Where to draw the result.")] = Path(
        "reports/rates.png"
    ),
) -> None:
    """Find a learning rate: train some hundred steps while it rises, keep nothing."""
    _refuse_picture(picture)
    launching.set_environment()
    from thaw.advice.lr_range import show_rates

    show_rates(phase, PREPARED, Path("models"), picture)


@app.command()
def search(
    trials: Annotated[int, typer.Option(min=1, help="Of the study, over all its runs.")] = 50,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that run trials; without a GPU, best one a core.")
    ] = 1,
    apply: Annotated[bool, typer.Option("--apply", help="Run nothing; write the values.")] = False,  # noqa: FBT002
    show: Annotated[bool, typer.Option("--show", help="Run nothing; show the study.")] = False,  # noqa: FBT002
    study: Annotated[str, typer.Option(help="By default the one of these parameters.")] = "",
    trial: Annotated[int | None, typer.Option(help="With --apply: not the winner, this.")] = None,
) -> None:
    """Search for better parameters; continue where the last search ended."""
    from thaw.search import commands

    if apply:
        commands.apply(PREPARED, study, trial)
    elif show:
        commands.show(PREPARED, study)
    else:
        commands.run(PREPARED, trials, workers, study)


@app.command()
def promote(
    version: Annotated[
        int | None, typer.Argument(min=1, help="By default the @challenger.")
    ] = None,
    to: Annotated[str, typer.Option(help="The alias that it is offered for.")] = "champion",
    model: Annotated[str, typer.Option(help=MODEL)] = "",
    force: Annotated[bool, typer.Option("--force", help="Whatever the gate says.")] = False,  # noqa: FBT002
    reason: Annotated[str, typer.Option(help="Kept in the history.")] = "",
) -> None:
    """Offer a version to the gate; if it passes, it is the champion (exit code 1: refused)."""
    launching.set_environment()
    from thaw.promotion import tables

    params = config.load(config.Params)
    name = model or params.tracking.registered_model
    if not tables.promote(
        params, PREPARED, name=name, alias=to, version=version, force=force, reason=reason
    ):
        raise typer.Exit(1)


@app.command()
def rollback(
    reason: Annotated[str, typer.Option(help="Kept in the history.")] = "",
    alias: Annotated[str, typer.Option(help="The alias that goes back.")] = "champion",
    model: Annotated[str, typer.Option(help=MODEL)] = "",
) -> None:
    """Make the previous champion the champion again."""
    from thaw.promotion import tables

    tracking = config.load(config.Params).tracking
    tables.rollback(tracking, model or tracking.registered_model, alias, reason)


@app.command()
def history(
    alias: Annotated[str, typer.Option(help="Whose history.")] = "champion",
    model: Annotated[str, typer.Option(help=MODEL)] = "",
) -> None:
    """List every promotion, refusal and rollback."""
    from thaw.promotion import tables

    tracking = config.load(config.Params).tracking
    tables.history(tracking, model or tracking.registered_model, alias)


@app.command()
def status(model: Annotated[str, typer.Option(help=MODEL)] = "") -> None:
    """Show every alias of the model: version, scores, run, age, what the gate said."""
    from thaw.promotion import tables

    tracking = config.load(config.Params).tracking
    tables.status(tracking, model or tracking.registered_model)


@app.command()
def copy(
    source: Annotated[str, typer.Argument(help="models:/A@champion or models:/A/3")],
    name: Annotated[str, typer.Argument(help="The registered model to copy to.")],
    to_uri: Annotated[str, typer.Option(help="Another MLflow store or server.")] = "",
) -> None:
    """Copy a version to another registered model, with its scores, report and lineage."""
    from thaw.promotion import tables

    tables.copy(config.load(config.Params).tracking, source, name, to_uri)


@app.command()
def report() -> None:
    """Show what the last `dvc repro` made: scores, registered version, what to type next."""
    from thaw.evaluation import summary

    summary.show(config.load(config.Params), Path("reports"))


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Where to listen, on this machine only.")] = 5000,
) -> None:
    """Serve the MLflow UI on this project's store."""
    from thaw.tracking.ui import replace_by_ui

    replace_by_ui(config.load(config.Params).tracking, port)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help=SERVED)],
    folder: Annotated[Path, typer.Argument(help="Its images, in all its folders.")],
    out: Annotated[Path, typer.Option(help="A row an image.")] = Path("predictions.csv"),
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    runtime: Runtime = "torch",
) -> None:
    """Classify every image of a folder; the same command continues what was killed."""
    launching.set_environment()
    from thaw.serving.batch_prediction import predict_folder

    predict_folder(model, folder, out, batch_size, runtime)


@app.command()
def serve(
    model: Annotated[str, typer.Argument(help=SERVED)],
    host: Annotated[str, typer.Option(help="0.0.0.0 for all machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option()] = 8000,
    max_batch: Annotated[int, typer.Option(min=1, help="Images in a forward pass.")] = 32,
    queue: Annotated[int, typer.Option(min=1, help="Images that may wait; then 429.")] = 128,
    max_megabytes: Annotated[float, typer.Option(help="Of a request.")] = 20.0,
    max_megapixels: Annotated[float, typer.Option(help="Of an image, by its header.")] = 50.0,
    timeout: Annotated[float, typer.Option(help="Seconds to an answer.")] = 30.0,
    poll: Annotated[float, typer.Option(help="Seconds between looks at the alias.")] = 10.0,
    runtime: Runtime = "torch",
) -> None:
    """Serve a model over HTTP, with a page to try it on."""
    launching.set_environment()
    from thaw.serving.server import serve as run
    from thaw.serving.settings import Settings

    settings = Settings(max_batch, queue, max_megabytes, max_megapixels, timeout, poll, runtime)
    run(model, host, port, settings)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help=SERVED)],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    format: Annotated[  # noqa: A002  (the option's name)
        Literal["onnx", "torch-export"], typer.Option(help="What reads it.")
    ] = "onnx",
    images: Annotated[
        Path | None, typer.Option(help="Images for the proof; by default the test split.")
    ] = None,
) -> None:
    """Write a model for other runtimes, with the proof that it computes the same."""
    launching.set_environment()
    from thaw.serving.export import export_model

    export_model(model, format, out, images, PREPARED)


def _refuse_picture(picture: Path) -> None:
    """Raise if drawing ``picture`` would replace something else than an earlier one."""
    overlaps.refuse_output(picture, "--picture")
    overlaps.refuse_to_replace(picture, "--picture", (b"atplotlib",), "a picture of thaw's")


def main() -> None:
    """Run the command line."""
    run_main(app)
