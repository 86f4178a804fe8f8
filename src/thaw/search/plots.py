"""Optuna's plots of a study: as PNG files and in one HTML page that needs no network."""

from __future__ import annotations

import contextlib
import html
import warnings
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from thaw.search.equal_trials import has_importances
from thaw.system.files import write_whole
from thaw.system.pictures import write_figure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import optuna
    from optuna.trial import FrozenTrial

PAGE = "search.html"
_DEPTH, _RATE = "unfreeze.depth", "unfreeze.lr"


def draw(study: optuna.Study, folder: Path, metric: str) -> list[str]:
    """Write the plots into ``folder`` and return their names.

    Every plot needs at least two complete trials; with fewer nothing is written.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < 2:
        return []
    import matplotlib as mpl
    from optuna import visualization as plotly_plots
    from optuna.visualization import matplotlib as png_plots

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "importances.png").unlink(missing_ok=True)  # it may not be drawn any more
    drawn: list[str] = []
    sections: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, function, arguments in _plots(study, complete[0], metric):
            # Some plots need more trials, or a parameter with several values: leave them out.
            with contextlib.suppress(ValueError, RuntimeError, ZeroDivisionError):
                figure = getattr(plotly_plots, function)(study, **arguments)
                is_first = not sections  # plotly's JavaScript is needed once
                sections.append(figure.to_html(full_html=False, include_plotlyjs=is_first))
                _save(getattr(png_plots, function)(study, **arguments), folder / f"{name}.png")
                drawn.append(name)
    body = "\n".join(sections)
    title = html.escape(f"thaw search: {study.study_name}")
    page = f"<!doctype html><meta charset='utf-8'><title>{title}</title><h1>{title}</h1>{body}"
    write_whole(folder / PAGE, page.encode())
    return drawn


def _plots(
    study: optuna.Study, example: FrozenTrial, metric: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield name, function in Optuna's plotting modules, and arguments of each plot.

    ``example`` is a complete trial: it tells which parameters the space has.
    """
    has_two_objectives = len(study.directions) > 1
    arguments: dict[str, Any] = {"target_name": metric}
    if has_two_objectives:
        arguments["target"] = lambda trial: trial.values[0]
    yield "history", "plot_optimization_history", arguments
    if has_importances(study):
        yield "importances", "plot_param_importances", arguments
    yield "slice", "plot_slice", arguments
    yield "parallel_coordinates", "plot_parallel_coordinate", arguments
    if {_DEPTH, _RATE} <= set(example.params):
        yield "contour", "plot_contour", {**arguments, "params": [_DEPTH, _RATE]}
    if has_two_objectives:
        yield "pareto_front", "plot_pareto_front", {}


def _save(axes: Any, path: Path) -> None:
    """Write the figure of ``axes`` (one of matplotlib's Axes, or an array of them)."""
    from matplotlib import pyplot

    first = axes.flat[0] if hasattr(axes, "flat") else axes
    write_figure(first.figure, path, dpi=110, bbox_inches="tight")
    pyplot.close(first.figure)
