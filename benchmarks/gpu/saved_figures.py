"""Figures in files: each is written as soon as it is measured, and files are put together."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.measurement import Figure

if TYPE_CHECKING:
    from pathlib import Path

_MACHINE, _FAILURE = "machine", "failure"


class SavedFigures:
    """The figures of one command, in ``FOLDER/gpu-TIME.jsonl`` and as a table in ``.md``.

    A line of the first is the machine, a figure, or the reason why figures are missing.
    """

    def __init__(self, folder: Path, machine: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"gpu-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
        self.figures: list[Figure] = []
        self.failures: list[str] = []
        self._machine = machine
        self._write({_MACHINE: machine})

    def add(self, figure: Figure) -> None:
        """Print and save a figure."""
        self.figures.append(figure)
        print(f"{figure.name}: {_value(figure)}", flush=True)
        self._write(asdict(figure))

    def fail(self, reason: str) -> None:
        """Save why figures are missing."""
        self.failures.append(reason)
        print(reason, flush=True)
        self._write({_FAILURE: reason})

    def text(self) -> str:
        """Return the table."""
        return "\n".join([*table(self._machine, self.figures), *self.failures])

    def _write(self, line: object) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self.path.with_suffix(".md").write_text(self.text() + "\n", encoding="utf-8")


def merged(folder: Path) -> str:
    """Return one table of all files in ``folder`` and below: of each figure the newest value.

    Raises:
        ValueError: there is no file of figures, or one has other lines.
    """
    paths = sorted(folder.rglob("gpu-*.jsonl"), key=lambda path: path.name)
    if not paths:
        raise ValueError(f"{folder} has no gpu-*.jsonl: name the folder of --out")
    found: dict[tuple[str, str], Figure] = {}
    machines: list[dict[str, str]] = []
    failures: dict[str, str] = {}
    for path in paths:
        for line in _lines(path):
            if _MACHINE in line:
                machines += [line[_MACHINE]] if line[_MACHINE] not in machines else []
            elif _FAILURE in line:
                failures[line[_FAILURE]] = path.name
            else:
                one = _figure(path, line)
                found[one.group, one.name] = one
    above = [line for machine in machines for line in [*described(machine), ""]]
    below = [f"{reason} ({name})" for reason, name in failures.items()]
    return "\n".join([*above, *rows(list(found.values())), *below])


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    except ValueError:
        raise ValueError(f"{path} has a line that is no JSON: remove this line") from None


def _figure(path: Path, line: dict[str, Any]) -> Figure:
    try:
        return Figure(**line)
    except TypeError:
        other = "figures of another version of this benchmark"
        raise ValueError(f"{path} has {other}: move it out of the folder") from None


def table(machine: dict[str, str], figures: list[Figure]) -> list[str]:
    """Return the lines of a Markdown table below the description of the machine."""
    return [*described(machine), "", *rows(figures)]


def described(machine: dict[str, str]) -> list[str]:
    """Return the description of a machine as lines of Markdown."""
    return [f"- {key}: {value}" for key, value in machine.items()]


def rows(figures: list[Figure]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| figure | value | to reach | reached | |", "|---|---|---|---|---|"]
    for one in figures:
        limit = "" if one.target is None else f"{'<=' if one.at_most else '>='} {one.target:g}"
        reached = {True: "yes", False: "no", None: ""}[one.reached]
        lines.append(f"| {one.name} | {_value(one)} | {limit} | {reached} | {one.note} |")
    return lines


def _value(figure: Figure) -> str:
    return f"{figure.value:.4g} {figure.unit}".strip()
