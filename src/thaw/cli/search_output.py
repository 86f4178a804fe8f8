"""Print a study, and the values that `thaw search --apply` has written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.config.editing import written
from thaw.search import tables
from thaw.system.console import ResultConsole, print_line, say
from thaw.system.json_output import print_json
from thaw.system.project_paths import PARAMS_FILE

if TYPE_CHECKING:
    from thaw.search.applying import Applied
    from thaw.search.opened_study import OpenedStudy

_console = ResultConsole()


def print_study(opened: OpenedStudy, *, as_json: bool = False) -> None:
    """Print the study in its present state: best trials, winner, notes; or all of it as JSON."""
    if as_json:
        print_json(opened.content())
        return
    _console.print(tables.best_trials(opened.study, opened.definition))
    if opened.has_two_objectives:
        _console.print("the Pareto front; `thaw search --apply --trial N` writes a trial's values")
        _print_notes(opened)
        return
    found = opened.candidates()
    print_line(opened.winner_line(found))
    _print_notes(opened)
    if found:
        values = opened.complete_values(found[0].trial)
        _console.print(tables.values_text(values), highlight=False, markup=False, soft_wrap=True)
        _console.print(f"\n`thaw search --apply` writes them into {PARAMS_FILE}")


def print_applied(applied: Applied, *, as_json: bool = False) -> None:
    """Print which values were written, and whether the next search is a new study."""
    if as_json:
        about = {"study": applied.study, "trial": applied.trial}
        print_json({**about, "values": applied.values, "changed": applied.changed})
    else:
        if applied.winner:
            print_line(applied.winner)
        print_line(written(applied.changed))
    if applied.begins_new_study:
        say(
            "these values change what a search starts from: the next `thaw search` begins a new "
            f"study; `thaw search --show --study {applied.study}` shows this one"
        )


def _print_notes(opened: OpenedStudy) -> None:
    for line in opened.notes:
        print_line(f"note: {line}")
