"""Verbs of the pipeline: run a stage, check the parameters, show the result."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thaw.cli.early_checks import refuse_unusable_parameters, try_changed_model, try_model
from thaw.cli.project_folder import AsJson, load_params
from thaw.config.output_folders import refuse_listed_folders
from thaw.errors import ThawError, grouped
from thaw.ingest.path_spellings import similar_spelling
from thaw.system import launching, tool_lock
from thaw.system.console import activity, progress
from thaw.system.json_output import print_json
from thaw.system.project_paths import PARAMS_FILE, PREPARED, REPORTS
from thaw.system.quantities import quantity
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from thaw.config.params import Params
    from thaw.training.dry_run import DryRun


_MOST_WITH_SIZES = 60  # networks that `thaw backbones` builds, a tenth of a second each


def register(app: typer.Typer) -> None:
    """Add the verbs of this module to ``app``."""
    for verb in (stage, check, backbones, report):
        app.command()(verb)


def _known_stages(incomplete: str) -> list[str]:
    """Return the stages that begin with ``incomplete``, for a shell that completes."""
    return [name for name in STAGES if name.startswith(incomplete)]


def stage(
    name: Annotated[str, typer.Argument(help=", ".join(STAGES), autocompletion=_known_stages)],
) -> None:
    """Run one stage, as dvc.yaml does (`dvc repro NAME` also runs what it needs)."""
    params = load_params()
    if name not in STAGES:
        raise ThawError(f"there is no stage {name!r}: choose from {', '.join(STAGES)}")
    refuse_unusable_parameters(params)
    tool_lock.refuse_other_code(name)
    tool_lock.warn_of_other_libraries()
    if name == STAGES[0]:
        try_changed_model(params)
    tool_lock.forget_kept(name)
    launching.replace_process(name, params.launch)


def check(as_json: AsJson = False) -> None:
    """Check params.yaml, paths and addresses, and build the model; images are read by `prepare`."""
    from thaw.ingest.dvc_ignore import FILE, name_obstacles
    from thaw.ingest.removal import refuse_unusable
    from thaw.ingest.sources import source_of
    from thaw.projects.pipeline_check import refuse_damaged
    from thaw.system.locked_stages import read_stages

    params = load_params()
    data = params.data
    source = source_of(data)
    refuse_unusable_parameters(params)
    for key, path, other in (("path", data.path, data.root), ("root", data.root, data.path)):
        if Path(path).exists():
            continue
        message = f"{PARAMS_FILE}: data.{key}: there is no {path}"
        message += similar_spelling(path, Path())
        if Path(path).is_symlink():
            message = (
                f"{PARAMS_FILE}: data.{key}: {path} is a link to {Path(path).readlink()}, which "
                f"does not exist: move the images back, or `ln -sfn FOLDER {path}`"
            )
        if key not in source.keys:
            message += (
                f"; the source {data.source} does not read it, but DVC requires that it exists: "
                f"set it to {other}"
            )
        raise ThawError(message)
    refuse_unusable(PREPARED)
    refuse_listed_folders()
    refuse_damaged()
    read_stages()  # DVC refuses a damaged dvc.lock, too, but names no remedy
    tried = _tried(params)
    obstacles = name_obstacles(data)
    if as_json:
        model = None if tried is None else {"backbone": params.backbone.name, **asdict(tried)}
        unreadable = [each._asdict() for each in obstacles]
        print_json({"file": PARAMS_FILE, "model": model, "unreadable_entries": unreadable})
        return
    typer.echo(f"{PARAMS_FILE} is valid{_described(params, tried)}")
    if obstacles:
        entries = quantity(len(obstacles), "entry", "entries")
        typer.echo(f"{FILE} names {entries} of the data that DVC cannot read:")
        for line in grouped(each.line for each in obstacles):
            typer.echo(f"  - {line}")


def _tried(params: Params) -> DryRun | None:
    """Return the size of the model of ``params``, None if it cannot be built without weights."""
    tried = try_model(params)
    if params.search.space:
        from thaw.search import search_space

        search_space.read(params)
    return tried


def _described(params: Params, tried: DryRun | None) -> str:
    """Return the size of the model that was tried, as the end of a sentence."""
    if tried is None:
        return ""
    return (
        f": {params.backbone.name} in {tried.blocks} blocks, {tried.weights / 1e6:,.1f} million "
        f"weights; a stage needs {tried.memory / 1e9:.1f} GB of memory or more"
    )


def backbones(
    text: Annotated[
        str, typer.Argument(help="A part of the names, or a pattern such as 'timm/resnet*'.")
    ] = "",
    *,
    names: Annotated[bool, typer.Option("--names", help="Print only the names.")] = False,
    as_json: AsJson = False,
) -> None:
    """List backbones, image sizes and where the weights are; with parameters for 60 or fewer."""
    with activity("loading the lists of backbones"):
        from thaw.model import backbone_catalogue

        found = backbone_catalogue.find(text)
    if not found:
        remedy = _near_names(text)
        raise ThawError(f"no backbone matches {text!r}: {remedy}")
    if names:
        if as_json:
            print_json(found)
        else:
            typer.echo("\n".join(found))
        return
    with_sizes = len(found) <= _MOST_WITH_SIZES
    shown = progress(found, "reading the sizes", len(found), show=with_sizes)
    entries = [backbone_catalogue.describe(name, with_sizes=with_sizes) for name in shown]
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    width = max(len(name) for name in found)
    typer.echo(f"{'name':{width}}  params  blocks  image  weights")
    for entry in entries:
        size = f"{entry.parameters / 1e6:.1f}M" if entry.parameters is not None else "-"
        blocks = entry.blocks or "-"
        typer.echo(
            f"{entry.name:{width}}  {size:>6}  {blocks:>6}  {entry.image_size:>5}  {entry.weights}"
        )
    if len(found) > _MOST_WITH_SIZES:
        typer.echo(f"{len(found)} backbones. For their sizes: thaw backbones TEXT")


def _near_names(text: str) -> str:
    """Return the names of backbones that are like ``text``, as a question, or what lists all."""
    from thaw.model import zoo

    models = {name.partition("/")[2]: name for name in zoo.names()}
    near = difflib.get_close_matches(text.rpartition("/")[2].lower(), models, n=3)
    if not near:
        return "`thaw backbones --names` lists all names"
    return f"did you mean {' or '.join(models[name] for name in near)}?"


def report(
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            help="Two results: versions, runs, project folders or git revisions.", metavar="A B"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the result of the last `dvc repro` and its report page; or compare two results."""
    params = load_params()
    if compare is not None:
        from thaw.cli.comparison_output import print_comparison
        from thaw.evaluation.page import render
        from thaw.registry import comparing

        content = comparing.compare_results(*compare, params.tracking)
        if as_json:
            print_json(render.without_images(content))
        else:
            print_comparison(content, comparing.PAGE)
        return
    from thaw.cli import result_summary

    content = result_summary.as_json(REPORTS)
    with activity("reading the release from the registry"):
        result_summary.add_release(content, params)
    if as_json:
        print_json(content)
    else:
        result_summary.show(params, content)
