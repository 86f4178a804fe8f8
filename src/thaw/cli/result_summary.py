"""The summary table after a pipeline run: training, scores, registered version, next commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from thaw.errors import ThawError
from thaw.evaluation import stage_reports
from thaw.evaluation.fine_tuning_text import comparison_text
from thaw.evaluation.page.render import PAGE
from thaw.metrics.registry import METRICS
from thaw.system.console import ResultConsole, warn
from thaw.system.project_paths import REGISTERED, REPORT, TOOL_LOCK
from thaw.system.quantities import quantity
from thaw.system.stage_names import STAGES
from thaw.system.tool_lock import refuse_other_code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thaw.config.params import Params


_NEXT_STEPS = """\
Next:  git add --all && git commit       keep it; the gate needs a commit from before `dvc repro`
{offer}       thaw ui                           runs and models in the browser
       dvc plots show                    curves, confusion matrix, mistakes
       {experiment:32}  another value; the rest is reused
       dvc metrics diff                  compare with the last commit"""
_OFFER = f"{'       thaw promote':41}compare with @champion; release it if it passes\n"
_LEAST_CHANGE = 1e-6  # the smallest that the table shows: 0.0001 %
_DEPTHS = (3, 5)  # proposed for an experiment: the first one that was not just trained


def show(params: Params, content: dict[str, Any]) -> None:
    """Print the table of the reports of the last ``dvc repro``, which :func:`as_json` returns."""
    table = Table(title="thaw", show_header=False, title_style="bold", min_width=60)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for section in (_stage_rows(params, content), _score_rows(params, content["evaluate"])):
        for row in section:
            table.add_row(*row)
        table.add_section()
    registered = content["registered"]
    table.add_row("registered", _version(registered, is_decided=bool(content["release"])))
    if release := content["release"]:
        table.add_row("release", escape(f"{release['label']}: {release['reason']}"))
    table.add_row("MLflow run", registered["run_id"])
    console = ResultConsole(highlight=False)
    console.print(table)
    if content["page"] is not None:
        console.print(f"Report page: {Path(content['page']).resolve().as_uri()}", soft_wrap=True)
    # Of a version on which nothing was decided yet; the gate does not offer the champion again.
    is_new = registered["alias"] != "champion" and not content["release"]
    steps = _NEXT_STEPS.format(experiment=_experiment(params), offer=_OFFER if is_new else "")
    console.print(steps, soft_wrap=True)


def _experiment(params: Params) -> str:
    """Return a command that trains another value."""
    depth = next(each for each in _DEPTHS if each != params.unfreeze.depth)
    # Without epochs, another depth alone would train nothing.
    more = "" if params.unfreeze.epochs else " -S unfreeze.epochs=5"
    return f"dvc exp run -S unfreeze.depth={depth}{more}"


def as_json(reports: Path) -> dict[str, Any]:
    """Return the reports of the last ``dvc repro`` by stage, the version, and the report page.

    Raises:
        ThawError: some stage has not run yet.
    """
    found = {stage: _read(reports / stage / REPORT) for stage in STAGES}
    page = reports / PAGE
    return {
        **found,
        "registered": _read(reports / "evaluate" / REGISTERED),
        "page": str(page) if page.is_file() else None,
        "release": None,
    }


def add_release(content: dict[str, Any], params: Params) -> None:
    """Add what was decided on the version since it was registered, and the page that shows it.

    If the registry cannot be read, there is a warning, and the content stays.
    """
    from thaw.promotion.release_pages import current_release

    registered = content["registered"]
    try:
        present = current_release(params, registered["name"], registered["version"])
    except ThawError as error:
        warn(f"release of the version as it was when it was registered: {error}")
        return
    if present is not None:
        content["release"] = present.release
        content["page"] = str(present.page) if present.page else content["page"]


def _stage_rows(params: Params, content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the rows (name, text) of the data, the backbone and the training stages."""
    data, unfreeze, fold = content["prepare"], content["unfreeze"], content["fold_bn"]
    splits = data["splits"]
    yield (
        "data",
        f"{data['images']} images, {data['classes']} classes "
        f"({splits['train']} train, {splits['val']} validation, {splits['test']} test)",
    )
    yield "backbone", escape(f"{params.backbone.name}, weights {params.backbone.weights}")
    yield "warmup_head", _phase(content["warmup_head"])
    note = "; the head warm-up's model is kept" if unfreeze["warmup_head_stands"] else ""
    yield f"unfreeze ({quantity(len(unfreeze['blocks']), 'block')})", _unfreezing(unfreeze) + note
    yield "fold_bn", f"{_phase(fold)}; {_merging(fold)}"


def _score_rows(params: Params, metrics: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the rows (name, text) of the scores on the test split."""
    scores = metrics["test"]
    yield (
        "test accuracy",
        f"[bold]{scores['accuracy']:.4f}[/bold]  "
        f"(95 % interval {scores['accuracy_low']:.3f} to {scores['accuracy_high']:.3f}, "
        f"{scores['images']:.0f} images)",
    )
    if "uncalibrated" in metrics:
        yield "calibration", _calibration(metrics["uncalibrated"], scores)
    if "tta" in metrics:
        views = f"{params.evaluate.tta_views} augmented views averaged in"
        yield "with augmentation", f"{metrics['tta']['accuracy']:.4f}  ({views})"
    # A result that `thaw upgrade --keep` accepted has no value of a newer metric.
    others = [one for one in METRICS.values() if one.name in scores and one.name != "accuracy"]
    for pair in (others[start : start + 2] for start in range(0, len(others), 2)):
        values = ", ".join(f"{scores[metric.name]:.4f}" for metric in pair)
        yield ", ".join(metric.label for metric in pair), values


def _version(registered: dict[str, Any], *, is_decided: bool) -> str:
    """Return the version; with ``is_decided`` the row of the release says which alias it has."""
    name = escape(f"{registered['name']} version {registered['version']}")
    note = "" if registered.get("is_new", True) else "; this run made the same model again"
    start = "first as" if is_decided else "as"
    return f"[bold]{name}[/bold] {start} @{registered['alias']}{note}"


def _calibration(before: dict[str, float], after: dict[str, float]) -> str:
    return ", ".join(
        f"{METRICS[name].label} {before[name]:.4f} to {after[name]:.4f}"
        for name in ("log_loss", "ece")
    )


def _merging(report: dict[str, Any]) -> str:
    """Return how many BatchNorms are part of the convolutions now, and what that changed."""
    # Those that unfreeze has trained as affine maps are merged, and are not folded again.
    total = report["merged"] + report.get("kept_affine", 0)
    if not total:
        return "no BatchNorm to merge"
    moved = max(report["fold_relative_move"], report["merge_relative_move"], _LEAST_CHANGE)
    of = "" if report["merged"] == total else f"{report['merged']} of "
    return (
        f"{of}{quantity(total, 'BatchNorm')} merged into the weights, "
        f"which changed no output by more than {moved * 100:.4f} %"
    )


def _unfreezing(report: dict[str, Any]) -> str:
    """Return the losses of the stage; where all its epochs were dropped, those that it compared."""
    tuned = report.get("fine_tuning")
    if tuned is None or tuned["is_kept"]:
        return _phase(report)
    return f"{quantity(report['epochs'], 'epoch')} dropped: {comparison_text(tuned)}"


def _phase(report: dict[str, Any]) -> str:
    if not report["epochs"]:
        return "no epoch trained"
    best, epochs = report["best_epoch"], report["epochs"]
    start, loss = report["start_val_loss"], report["val_loss"]
    if loss <= start:
        return f"best epoch {best} of {epochs}, validation loss {start:.4f} to {loss:.4f}"
    # The start was not among the epochs to choose from.
    text = f"epoch {best}, best of 1 to {epochs}, validation loss {loss:.4f}"
    text += f" (the start has {start:.4f})"
    if judged := report.get("fine_tuning"):
        text += (
            f"; after calibration {judged['log_loss']:.4f} "
            f"(head alone {judged['head_log_loss']:.4f})"
        )
    return text


def _read(path: Path) -> dict[str, Any]:
    try:
        return stage_reports.read(path)
    except FileNotFoundError:
        # An earlier version of thaw does not write all of these files.
        if (path.parents[2] / TOOL_LOCK).is_file():
            refuse_other_code(path.parent.name)
        raise ThawError(f"there is no {path} yet: run `dvc repro` first") from None
