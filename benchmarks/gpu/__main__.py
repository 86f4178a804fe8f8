"""Measure thaw on a GPU: one table with the machine's description, printed and saved.

    python -m benchmarks.gpu                    all rows (about half an hour on one GPU)
    python -m benchmarks.gpu --only bare,serve  some of them
    python -m benchmarks.gpu --minutes 9        stop before a time limit
    python -m benchmarks.gpu --table FOLDER     one table of what several commands have saved
    python -m benchmarks.gpu --tiny             a smoke test: small networks, also on a CPU

It needs a checkout and the packages of ``pyproject.toml``, but no network. Pipelines run by DVC
where it is installed. Every figure is saved as soon as it is measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.gpu import (
    bare_steps,
    data_rows,
    kills,
    machine,
    pipelines,
    search_workers,
    training_speed,
)
from benchmarks.gpu.measurement import Setting
from benchmarks.gpu.saved_figures import SavedFigures, merged
from thaw.system.launching import set_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.gpu.measurement import Figure, Rows

# One entry per module: its name for --only, and the function that measures its rows.
GROUPS: dict[str, Rows] = {
    "bare": bare_steps.rows,
    "training": training_speed.rows,
    "digits": pipelines.digit_rows,
    "photos": pipelines.photo_rows,
    "kills": kills.first_rows,
    "more-kills": kills.more_rows,
    "epochs": data_rows.epoch_rows,
    "predict": data_rows.predict_rows,
    "serve": data_rows.serve_rows,
    "shapes": data_rows.shape_rows,
    "search": search_workers.rows,
}


def main(arguments: list[str]) -> int:
    """Measure, print and save; return 1 if a group of rows failed or was not reached."""
    parser = argparse.ArgumentParser(description="Measure thaw on a GPU.")
    parser.add_argument("--only", default=",".join(GROUPS), help=", ".join(GROUPS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--table", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    if options.table:
        try:
            print(merged(options.table))
        except ValueError as error:
            parser.error(f"--table: {error}")
        return 0
    names = options.only.split(",")
    if unknown := set(names) - GROUPS.keys():
        parser.error(f"no rows {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}")
    if not torch.cuda.is_available() and not options.tiny:
        parser.error("torch finds no GPU: --tiny runs a smoke test on the CPU")
    saved = SavedFigures(options.out, machine.describe())
    with tempfile.TemporaryDirectory() as scratch:
        setting = Setting(Path(scratch), options.repeats, options.tiny)
        end = time.monotonic() + 60 * options.minutes
        for name in names:
            for figure in _measured(name, setting, saved, end):
                saved.add(replace(figure, group=name))
    print(f"\n{saved.text()}\nsaved: {saved.path.with_suffix('.md')}, .jsonl")
    return 1 if saved.failures else 0


def _measured(name: str, setting: Setting, saved: SavedFigures, end: float) -> Iterator[Figure]:
    """Yield the rows of a group; a group that fails does not end the run.

    After the time ``end`` of the monotonic clock, no more rows are measured.
    """
    begun = time.monotonic()
    try:
        rows = GROUPS[name](setting)
        while time.monotonic() < end:
            if (figure := next(rows, None)) is None:
                print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
                return
            yield figure
        saved.fail(f"STOPPED: {name}: the time is over")
    except Exception as error:
        traceback.print_exc()
        saved.fail(f"FAILED: {name}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    set_environment()
    sys.exit(main(sys.argv[1:]))
