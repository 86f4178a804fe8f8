"""What the verbs `thaw probe` and `thaw advise` print and draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from thaw.advice.measurements import measure
from thaw.advice.recommendation import Advice, Facts, advise
from thaw.config.editing import write_values
from thaw.config.loading import PARAMS_FILE, load
from thaw.config.params import Params
from thaw.context import open_context
from thaw.evaluation.probe_plot import draw
from thaw.registry.starting_model import starting_model

if TYPE_CHECKING:
    from pathlib import Path

_console = Console()


def facts_of(prepared: Path) -> Facts:
    """Measure the prepared data with the backbone that ``params.yaml`` names."""
    context = open_context(load(Params), prepared, single_process=True)
    classifier, spec = starting_model(context, all_blocks=True)
    return measure(context, classifier, spec.preprocessing)


def show_probe(prepared: Path, picture: Path) -> None:
    """Print the table of probes and draw it."""
    facts = facts_of(prepared)
    _console.print(_table(facts))
    draw(facts.single, facts.joined, picture)
    _console.print(f"drawn: {picture}", highlight=False)


def show_advice(prepared: Path, *, apply: bool) -> None:
    """Print the advice; with ``apply``, write its values into ``params.yaml``."""
    facts = facts_of(prepared)
    advice = advise(facts)
    _console.print(_table(facts))
    _console.print(f"[bold]{advice.case}[/bold]")
    for reason in advice.reasons:
        _console.print(f"- {reason}", highlight=False, soft_wrap=True)
    _console.print()
    _print_values(advice)
    if apply:
        changed = write_values(advice.values)
        said = ", ".join(changed) if changed else "nothing: they stood there already"
        _console.print(f"\nwritten into {PARAMS_FILE}: {said}", highlight=False)
    else:
        _console.print(f"\n`thaw advise --apply` writes them into {PARAMS_FILE}")


def _print_values(advice: Advice) -> None:
    section = ""
    for key, value in advice.values.items():
        first, name = key.split(".")
        if first != section:
            _console.print(f"{first}:", highlight=False)
            section = first
        text = str(value).lower() if isinstance(value, bool) else value
        _console.print(f"  {name}: {text}", highlight=False, markup=False)


def _table(facts: Facts) -> Table:
    table = Table(title="linear probes, cross-validated on the training and validation images")
    for name in ("blocks", "features", "accuracy", ""):
        table.add_column(name, justify="left" if name in {"blocks", ""} else "right")
    best = max([*facts.single, *facts.joined], key=lambda probe: probe.accuracy)
    for group in (facts.single, facts.joined):
        for probe in group:
            bar = "█" * round(20 * probe.accuracy)
            mark = " best" if probe is best else ""
            accuracy = f"{probe.accuracy:.3f} ± {probe.error:.3f}"
            table.add_row(probe.name, str(probe.width), accuracy, bar + mark)
        table.add_section()
    return table
