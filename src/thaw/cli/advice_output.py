"""Print the results of `thaw probe`, `thaw advise` and `thaw find-lr`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from thaw.advice.leaderboard_tables import head_table, training_sentence, training_table
from thaw.advice.measured_advice import by_section, measured_advice, uncompared_values
from thaw.advice.recommendation import recommend
from thaw.advice.stored_measurements import measured_project
from thaw.advice.tournament.deadline import Deadline
from thaw.config.editing import write_values, written
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.section import AUTO
from thaw.evaluation.probe_plot import draw
from thaw.system.console import ResultConsole, print_line, say
from thaw.system.json_output import print_json
from thaw.system.project_paths import PARAMS_FILE

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import torch

    from thaw.advice.lr_range import FoundRates
    from thaw.advice.measured_advice import MeasuredAdvice
    from thaw.advice.measurements import Measurements

_BAR_WIDTH = 20  # characters of the bar of accuracy 1
_console = ResultConsole()


def show_probe(
    prepared: Path, picture: Path, device: torch.device | None = None, *, as_json: bool = False
) -> None:
    """Measure the prepared data; print the table of linear probes, or JSON, and draw it."""
    measured = measured_project(prepared, device)
    draw(measured.block_probes, measured.joint_probes, picture)
    if as_json:
        print_json(asdict(measured) | {"picture": picture})
        return
    _console.print(_table(measured))
    _console.print(f"drawn: {picture}", highlight=False)


def show_advice(
    prepared: Path,
    device: torch.device | None = None,
    *,
    apply: bool,
    as_json: bool = False,
    minutes: float | None = None,
) -> None:
    """Print the advice; with ``apply``, write its values into ``params.yaml``.

    It is what comparisons choose, or a recommendation where there is nothing to compare. No
    comparison begins after ``minutes``.
    """
    advice = measured_advice(prepared, device, Deadline(minutes))
    values = _recommended(prepared, device, as_json=as_json) if advice is None else advice.values
    changed = write_values(values) if apply else []
    if as_json:
        content = {"values": values} if advice is None else advice.as_json()
        print_json({**content, "changed": changed})
        return
    if advice is not None:
        _print_advice(advice)
    _console.print()
    _print_values(values)
    if apply:
        say(written(changed))
    else:
        _console.print(f"\n`thaw advise --apply` writes these values into {PARAMS_FILE}")


def show_rates(found: FoundRates, *, as_json: bool = False) -> None:
    """Print the suggestions, as lines or as JSON."""
    if as_json:
        print_json(asdict(found))
        return
    print_line(f"{found.phase}.lr is {found.present:g}")
    print_line(f"  rate at which the loss falls fastest: {found.steepest:.1e}")
    print_line(f"  a tenth of the rate with the lowest loss: {found.tenth:.1e}")
    print_line(f"drawn: {found.picture}")
    print_line(
        "A good rate is usually between the two. Set one in params.yaml, for example "
        f"`{found.phase}: {{lr: {found.steepest:.1g}}}`, then run `dvc repro`"
    )


def _print_advice(advice: MeasuredAdvice) -> None:
    _console.print(head_table(advice.head.rows, advice.head.images))
    _console.print(training_table(advice.training.rows))
    if advice.head.validation_differs:
        _console.print(
            "Validation images look different from training images: heads and trainings are judged "
            "on validation images alone.",
            soft_wrap=True,
        )
    if advice.is_shortened:
        _console.print(
            "The time was over before everything was compared: without --minutes all is compared.",
            soft_wrap=True,
        )
    sentence = f"[bold]{training_sentence(advice.training)}[/bold]"
    _console.print(sentence, highlight=False, soft_wrap=True)


def _recommended(prepared: Path, device: torch.device | None, *, as_json: bool) -> dict[str, Any]:
    """Return the values of the recommendation by measurements, and print its reasons."""
    measured = measured_project(prepared, device)
    recommendation = recommend(measured)
    if not as_json:
        _console.print(_table(measured))
        summary = f"[bold]{recommendation.case.summary}[/bold]"
        _console.print(summary, highlight=False, soft_wrap=True)
        for reason in recommendation.reasons:
            _console.print(f"- {reason}", highlight=False, soft_wrap=True)
    uncompared = uncompared_values(prepared, device)
    return by_section(uncompared | _of_auto(load(Params)) | recommendation.values)


def _of_auto(params: Params) -> dict[str, Any]:
    """Return the defaults of augmentations that are ``auto``, which nothing was compared for."""
    assumed, keys = params.augment.assumed(), ("crop", "flip")
    is_auto = (key for key in keys if getattr(params.augment, key) == AUTO)
    return {f"augment.{key}": getattr(assumed, key) for key in is_auto}


def _print_values(values: dict[str, Any]) -> None:
    """Print values by dotted key in the form of ``params.yaml``."""
    section = ""
    for key, value in values.items():
        first, name = key.split(".")
        if first != section:
            _console.print(f"{first}:", highlight=False)
            section = first
        text = str(value).lower() if isinstance(value, bool) else value
        _console.print(f"  {name}: {text}", highlight=False, markup=False)


def _table(measured: Measurements) -> Table:
    """Return the table of linear probes."""
    table = Table(title="Linear probes, cross-validated on the training and validation images")
    for name in ("blocks", "features", "accuracy", ""):
        table.add_column(name, justify="left" if name in {"blocks", ""} else "right")
    groups = (measured.block_probes, measured.joint_probes)
    best = max((probe for group in groups for probe in group), key=lambda probe: probe.accuracy)
    for group in groups:
        for probe in group:
            bar = "█" * round(_BAR_WIDTH * probe.accuracy)
            mark = " best" if probe is best else ""
            accuracy = f"{probe.accuracy:.3f} ± {probe.error:.3f}"
            table.add_row(probe.name, str(probe.width), accuracy, bar + mark)
        table.add_section()
    return table
