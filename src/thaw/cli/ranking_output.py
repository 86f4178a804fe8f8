"""Print the ranking of backbones (`thaw advise --backbones`), and apply its winner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from thaw.advice.tournament.backbone_ranking import rank, read_backbones
from thaw.advice.tournament.leaderboard import shown_loss
from thaw.config.editing import write_values, written
from thaw.config.loading import load
from thaw.config.other_backbones import freed_values
from thaw.config.params import Params
from thaw.system.console import ResultConsole, print_line, warn
from thaw.system.json_output import print_json
from thaw.system.project_paths import PARAMS_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from thaw.advice.tournament.backbone_ranking import Ranked

_console = ResultConsole()


def rank_backbones(
    names: str,
    prepared: Path,
    device: torch.device | None = None,
    *,
    apply: bool,
    as_json: bool = False,
) -> None:
    """Rank the backbones of ``names``; with ``apply``, write the best one into ``params.yaml``.

    ``names`` has the form NAME[=WEIGHTS],NAME[=WEIGHTS],... The ranking is printed as a
    table, or as JSON.

    Raises:
        ThawError: a name is unknown, or no backbone can be compared.
    """
    params = load(Params)
    ranked, failed = rank(params, read_backbones(names, params), prepared, device)
    for backbone, reason in failed.items():
        warn(f"not compared: {backbone.name}: {reason}")
    values = ranked[0].backbone.values(params)
    if as_json:
        changed = write_values(values) if apply else []
        reasons = {backbone.name: reason for backbone, reason in failed.items()}
        rows = [_content(each, ranked[0]) for each in ranked]
        print_json({"backbones": rows, "not_compared": reasons, "changed": changed})
        return
    _console.print(ranking_table(ranked))
    best = ranked[0]
    _console.print(_verdict(ranked), highlight=False, soft_wrap=True)
    if not apply:
        _console.print(
            f"`thaw advise --backbones ... --apply` writes {best.backbone.name} into {PARAMS_FILE}",
            highlight=False,
            soft_wrap=True,
        )
        return
    changed = write_values(values)
    if freed := freed_values(params, best.backbone.name):
        listed = ", ".join(f"{key}: {value}" for key, value in freed.items())
        print_line(f"values that held for {params.backbone.name} only are free now: {listed}")
    print_line(written(changed))


def ranking_table(ranked: Sequence[Ranked]) -> Table:
    """Return the table of backbones, the best first."""
    table = Table(
        title="Backbones by their best head, cross-validated on training and validation images",
        caption="behind: paired difference of the log-loss to the best, and its standard error; "
        "ms: network alone, an image; s: of this comparison",
    )
    table.add_column("backbone", overflow="fold")
    table.add_column("head")
    for name in ("log-loss", "accuracy", "behind", "ms", "s"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in ranked:
        candidate, (mean, error) = each.entry.candidate, each.behind(ranked[0])
        table.add_row(
            each.backbone.name,
            f"{candidate.fit}, {candidate.input.name}, blocks {candidate.blocks_name}",
            shown_loss(each.log_loss, len(each.entry.losses)),
            f"{each.entry.accuracy.mean():.3f}",
            "" if each is ranked[0] else f"{mean:.3f} ± {error:.3f}",
            f"{each.latency:.1f}",
            f"{each.seconds:.0f}",
        )
    return table


def _content(each: Ranked, best: Ranked) -> dict[str, Any]:
    """Return a row of the ranking for JSON; losses in nats."""
    candidate, behind = each.entry.candidate, each.behind(best)
    return {
        **each.backbone._asdict(),
        "head": {
            "fit": candidate.fit, "input": candidate.input.name, "blocks": candidate.blocks_name
        },
        "log_loss": each.log_loss,
        "accuracy": float(each.entry.accuracy.mean()),
        "behind": {"mean": float(behind.mean), "standard_error": float(behind.standard_error)},
        "milliseconds": each.latency,
        "seconds": each.seconds,
    }  # fmt: skip


def _verdict(ranked: Sequence[Ranked]) -> str:
    """Return which backbones are as good as the best within one paired standard error."""
    best, *others = ranked
    equal = [each for each in others if each.behind(best).mean <= each.behind(best).standard_error]
    if not equal:
        return f"{best.backbone.name} has the lowest log-loss."
    fastest = min([best, *equal], key=lambda each: each.latency)
    names = ", ".join(each.backbone.name for each in equal)
    return (
        f"{best.backbone.name} has the lowest log-loss; within one standard error of it: {names}. "
        f"The fastest of these is {fastest.backbone.name}."
    )
