"""Measure thaw on a GPU: one table with the machine's description, printed and saved.

    python -m benchmarks.gpu                    all rows (about an hour on one GPU)
    python -m benchmarks.gpu --only bare,kills  some of them
    python -m benchmarks.gpu --tiny             a smoke test: small networks, also on a CPU

It needs a checkout and the packages of ``pyproject.toml``, but no network and no DVC.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.gpu import bare_steps, data_rows, kills, machine, pipelines, training_speed
from benchmarks.gpu.measurement import Figure, Setting
from thaw.system.launching import set_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.gpu.measurement import Rows

# One entry per module: its name for --only, and the function that measures its rows.
GROUPS: dict[str, Rows] = {
    "bare": bare_steps.rows,
    "training": training_speed.rows,
    "pipelines": pipelines.rows,
    "kills": kills.rows,
    "epochs": data_rows.epoch_rows,
    "predict": data_rows.predict_rows,
    "serve": data_rows.serve_rows,
}


def main(arguments: list[str]) -> int:
    """Measure, print and save; return 1 if a group of rows failed."""
    parser = argparse.ArgumentParser(description="Measure thaw on a GPU.")
    parser.add_argument("--only", default=",".join(GROUPS), help=", ".join(GROUPS))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    if unknown := set(names) - GROUPS.keys():
        parser.error(f"no rows {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}")
    if not torch.cuda.is_available() and not options.tiny:
        parser.error("torch finds no GPU: --tiny runs a smoke test on the CPU")
    described = machine.describe()
    figures: list[Figure] = []
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        setting = Setting(Path(scratch), options.repeats, options.tiny)
        for name in names:
            for figure in _measured(name, setting, failures):
                figures.append(figure)
                value = figure.texts[0] if figure.texts else f"{figure.value:.4g} {figure.unit}"
                print(f"{figure.name}: {value}", flush=True)
    text = "\n".join([*table(described, figures), *failures])
    print(f"\n{text}")
    _save(options.out, text, {"machine": described, "figures": [asdict(one) for one in figures]})
    return 1 if failures else 0


def _measured(name: str, setting: Setting, failures: list[str]) -> Iterator[Figure]:
    """Yield the rows of a group; a group that fails does not end the run."""
    try:
        yield from GROUPS[name](setting)
    except Exception as error:
        traceback.print_exc()
        failures.append(f"FAILED: {name}: {type(error).__name__}: {error}")


def table(described: dict[str, str], figures: list[Figure]) -> list[str]:
    """Return the lines of a Markdown table below the description of the machine."""
    lines = [f"- {key}: {value}" for key, value in described.items()]
    lines += ["", "| figure | value | to reach | reached | |", "|---|---|---|---|---|"]
    for one in figures:
        limit = "" if one.target is None else f"{'<=' if one.at_most else '>='} {one.target:g}"
        reached = {True: "yes", False: "no", None: ""}[one.reached]
        value = f"{one.value:.4g} {one.unit}".strip()
        if one.texts:
            value, limit = one.texts
        lines.append(f"| {one.name} | {value} | {limit} | {reached} | {one.note} |")
    return lines


def _save(folder: Path, text: str, content: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    (folder / f"gpu-{stamp}.md").write_text(text + "\n")
    (folder / f"gpu-{stamp}.json").write_text(json.dumps(content, indent=2) + "\n")
    print(f"saved: {folder / f'gpu-{stamp}.md'}, .json")


if __name__ == "__main__":
    set_environment()
    sys.exit(main(sys.argv[1:]))
