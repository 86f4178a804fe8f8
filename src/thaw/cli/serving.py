"""Verbs that use a trained model: predict a folder, serve over HTTP, export."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from thaw.cli.project_folder import AsJson, Device, require_project
from thaw.literals import ExportFormat, PrecisionName, ServingRuntime
from thaw.registry.names import PREFIX
from thaw.system import launching
from thaw.system.console import print_line
from thaw.system.devices import choose_device
from thaw.system.json_output import print_json
from thaw.system.project_paths import PREPARED

_MODEL_HELP = "models:/NAME@ALIAS, models:/NAME/VERSION or a model's folder."
_Precision = Annotated[
    PrecisionName,
    typer.Option(help="fp32 is the precision in which versions are scored and compared."),
]
_Runtime = Annotated[
    ServingRuntime,
    typer.Option(help="ONNX Runtime is faster on CPUs; it takes the extra `export`."),
]


def register(app: typer.Typer) -> None:
    """Add the verbs of this module to ``app``."""
    for verb in (predict, serve, export, push_to_hub):
        app.command()(verb)


def predict(
    model: Annotated[str, typer.Argument(help=_MODEL_HELP)],
    folder: Annotated[Path, typer.Argument(help="The images, in this folder and all below it.")],
    out: Annotated[Path, typer.Option(help="The CSV file to write, one row per image.")] = Path(
        "predictions.csv"
    ),
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="By default 32 on a CPU, 128 on a GPU.")
    ] = None,
    runtime: _Runtime = "torch",
    device: Device = "auto",
    precision: _Precision = "fp32",
    as_json: AsJson = False,
) -> None:
    """Classify every image of a folder; the same command continues after an interruption."""
    _require_registry(model)
    launching.set_environment()
    from thaw.cli.serving_output import print_predictions
    from thaw.serving.batch_prediction import predict_folder
    from thaw.serving.compute_device import choose_computing

    computing = choose_computing(device, precision, runtime)
    summary = predict_folder(model, folder, out, batch_size, runtime, computing)
    if as_json:
        print_json(summary.content())
    else:
        print_predictions(summary)
    summary.raise_problems()


def serve(
    model: Annotated[str, typer.Argument(help=_MODEL_HELP)],
    host: Annotated[str, typer.Option(help="0.0.0.0 for all machines.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 takes a free port, which is printed.")
    ] = 8000,
    max_batch: Annotated[
        int | None,
        typer.Option(min=1, help="Images in a forward pass; by default 32 on a CPU, 64 on a GPU."),
    ] = None,
    queue: Annotated[int, typer.Option(min=1, help="Images that may wait; then 429.")] = 128,
    max_megabytes: Annotated[float, typer.Option(help="Limit for a request.")] = 20.0,
    max_megapixels: Annotated[float, typer.Option(help="Limit for an image.")] = 50.0,
    timeout: Annotated[float, typer.Option(help="Seconds until an answer.")] = 30.0,
    poll: Annotated[float, typer.Option(help="Seconds between two checks of the alias.")] = 10.0,
    runtime: _Runtime = "torch",
    device: Device = "auto",
    precision: _Precision = "fp32",
) -> None:
    """Serve a model over HTTP, with a page to try it on."""
    _require_registry(model)
    launching.set_environment()
    from thaw.serving.compute_device import choose_computing
    from thaw.serving.server import serve as run
    from thaw.serving.settings import Settings

    settings = Settings(
        max_batch=max_batch,
        queue=queue,
        max_megabytes=max_megabytes,
        max_megapixels=max_megapixels,
        timeout=timeout,
        poll=poll,
        runtime=runtime,
        computing=choose_computing(device, precision, runtime),
    )
    run(model, host, port, settings)


def export(
    model: Annotated[str, typer.Argument(help=_MODEL_HELP)],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    format: Annotated[  # noqa: A002  (the option's name)
        ExportFormat, typer.Option(help="The format to write.")
    ] = "onnx",
    images: Annotated[
        Path | None,
        typer.Option(help="Images for the comparison; by default the test split."),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write a model for other runtimes, and prove that it computes the same."""
    _require_registry(model)
    launching.set_environment()
    from thaw.cli.serving_output import print_export
    from thaw.serving.export import export_model

    exported = export_model(model, format, out, images, PREPARED, choose_device(device))
    if as_json:
        print_json(exported.content())
    else:
        print_export(exported)


def push_to_hub(
    model: Annotated[str, typer.Argument(help=_MODEL_HELP)],
    repo: Annotated[str, typer.Argument(help="The repository on the hub: OWNER/NAME.")],
    private: Annotated[
        bool, typer.Option("--private", help="Create the repository as a private one.")
    ] = False,
    license_id: Annotated[
        str,
        typer.Option(
            "--license",
            help="The licence in the card's header, such as mit; default: that of the backbone's "
            "pretrained weights, where it is known.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Upload a model with its card to the Hugging Face hub, where possible also in timm's form."""
    _require_registry(model)
    from thaw.serving.hub import push

    pushed = push(model, repo, private=private, license_id=license_id)
    if as_json:
        print_json({"repository": repo, **pushed._asdict()})
    else:
        print_line(pushed.address)


def _require_registry(model: str) -> None:
    """Raise if ``model`` is in a registry that nothing here names."""
    if model.startswith(PREFIX) and not os.environ.get("MLFLOW_TRACKING_URI"):
        require_project(is_model_wanted=True)
