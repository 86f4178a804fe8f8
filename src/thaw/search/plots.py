"""The pictures of a study: as Optuna draws them, in one page that needs no network, and as PNG."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import optuna

PAGE = "search.html"
_DEPTH, _RATE = "unfreeze.depth", "unfreeze.lr"


def draw(study: optuna.Study, folder: Path, metric: str) -> list[str]:
    """Write the page and the pictures into ``folder``; the names of what could be drawn.

    Two complete trials are the fewest that any picture shows.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < 2:
        return []
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[str] = []
    sections: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, html, picture in _plots(study, complete, metric):
            # Too few trials for it, or a parameter that never changed: there is nothing to see.
            with contextlib.suppress(ValueError, RuntimeError, ZeroDivisionError):
                figure = html()
                whole = not sections  # plotly's own code once, in the first
                sections.append(figure.to_html(full_html=False, include_plotlyjs=whole))
                _save(picture(), folder / f"{name}.png")
                drawn.append(name)
    body = "\n".join(sections)
    title = f"thaw search: {study.study_name}"
    page = f"<!doctype html><meta charset='utf-8'><title>{title}</title><h1>{title}</h1>{body}"
    write_whole(folder / PAGE, page.encode())
    return drawn


def _plots(
    study: optuna.Study, complete: list[Any], metric: str
) -> Iterator[tuple[str, Callable[[], Any], Callable[[], Any]]]:
    """(name, how plotly draws it, how matplotlib does)."""
    from optuna import visualization as html
    from optuna.visualization import matplotlib as png

    several = len(study.directions) > 1
    target = {"target": lambda trial: trial.values[0]} if several else {}
    common: dict[str, Any] = {**target, "target_name": metric}
    names = ["history", "importances", "slice", "parallel_coordinates"]
    functions = [
        "plot_optimization_history", "plot_param_importances", "plot_slice",
        "plot_parallel_coordinate",
    ]  # fmt: skip
    for name, function in zip(names, functions, strict=True):
        yield (
            name,
            _call(getattr(html, function), study, common),
            _call(getattr(png, function), study, common),
        )
    if {_DEPTH, _RATE} <= set(complete[0].params):
        chosen = {**common, "params": [_DEPTH, _RATE]}
        yield (
            "contour",
            _call(html.plot_contour, study, chosen),
            _call(png.plot_contour, study, chosen),
        )
    if several:
        yield (
            "pareto_front",
            _call(html.plot_pareto_front, study, {}),
            _call(png.plot_pareto_front, study, {}),
        )


def _call(function: Any, study: optuna.Study, arguments: dict[str, Any]) -> Callable[[], Any]:
    return lambda: function(study, **arguments)


def _save(axes: Any, path: Path) -> None:
    """``axes`` is one of matplotlib's, or an array of them."""
    from matplotlib import pyplot

    first = axes.flat[0] if hasattr(axes, "flat") else axes
    first.figure.savefig(path, dpi=110, bbox_inches="tight")
    pyplot.close(first.figure)
