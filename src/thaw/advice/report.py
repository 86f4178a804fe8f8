"""What the verbs `thaw probe` and `thaw advise` print and draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from thaw import config
from thaw.advice.advise import Advice, Facts, advise
from thaw.advice.measure import measure
from thaw.data.prepared import Prepared
from thaw.edit import write_values
from thaw.evaluation.probes import draw
from thaw.origin import begin, parent_of
from thaw.training.activations import FOLDER, cache_of
from thaw.training.runtime import start

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config import Params
    from thaw.model.blocks import Classifier
    from thaw.model.directory import Spec
    from thaw.training.activations import Cache
    from thaw.training.runtime import Runtime

_console = Console()


@dataclass(frozen=True)
class Opened:
    """The project's parameters and data, and the backbone that training would start from."""

    params: Params
    runtime: Runtime
    data: Prepared
    classifier: Classifier
    spec: Spec

    @property
    def cache(self) -> Cache:
        """Where the activations of this data are kept."""
        gigabytes = self.params.launch.cache_gb
        return cache_of(FOLDER, self.data, self.spec.preprocessing, gigabytes)


def open_project(prepared: Path, *, taps: bool) -> Opened:
    """Open what ``params.yaml`` names; with ``taps``, the head as it says, else on all blocks.

    Raises:
        ThawError: there is no prepared data, or no such backbone.
    """
    params = config.load(config.Params)
    # one process, as the verb was started
    runtime = start(params.launch.model_copy(update={"processes": 1}))
    data = Prepared(prepared)
    head = params.head if taps else params.head.model_copy(update={"taps": []})
    classifier, spec = begin(params, head, data, parent_of(params))
    return Opened(params, runtime, data, classifier, spec)


def facts_of(prepared: Path) -> Facts:
    """Measure the prepared data with the backbone that ``params.yaml`` names."""
    it = open_project(prepared, taps=False)
    seed = it.params.seed
    return measure(it.runtime, it.classifier, it.data, it.spec.preprocessing, it.cache, seed)


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
        _console.print(f"\nwritten into {config.PARAMS}: {said}", highlight=False)
    else:
        _console.print(f"\n`thaw advise --apply` writes them into {config.PARAMS}")


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
