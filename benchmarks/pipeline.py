"""Accuracy and times of `dvc repro` on the digits: `make bench TARGETS=pipeline`.

The two sides of each ratio are measured in the same run, so that the speed of the machine cancels
out.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.command_line import parser
from benchmarks.subprocesses import read_result, run_script, start_script
from tests.project import Project


def main() -> None:
    """Run everything and print the table."""
    parser(__doc__).parse_args()
    table = Table(title=f"thaw on {os.cpu_count()} cores")
    for name in ("figure", "to reach", "measured"):
        table.add_column(name)
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        for row in [*pipeline(project), *network_passes(project), *concurrent_trainings(project)]:
            table.add_row(*row)
    Console(width=110).print(table)


def pipeline(project: Project) -> list[tuple[str, str, str]]:
    """Return rows of `dvc repro`: from nothing, with nothing to do, with another rate."""
    seconds, _ = timed(project, "dvc", "repro")
    scores = json.loads((project.folder / "reports/evaluate/metrics.json").read_text())["test"]
    nothing = statistics.median(timed(project, "dvc", "repro")[0] for _ in range(3))
    project.set(unfreeze__lr=0.0005)
    again, output = timed(project, "dvc", "repro")
    ran = ", ".join(re.findall(r"Running stage '(\w+)'", output))
    interval = f"{scores['accuracy_low']:.3f} to {scores['accuracy_high']:.3f}"
    return [
        ("dvc repro of the default, from nothing", "120 s", f"{seconds:.0f} s"),
        ("test accuracy on the digits (95 %)", "0.985", f"{scores['accuracy']:.4f} ({interval})"),
        ("dvc repro with nothing to do, median of 3", "3 s", f"{nothing:.1f} s"),
        ("unfreeze.lr changed: stages that ran", "not the first two", f"{ran} ({again:.0f} s)"),
    ]


def network_passes(project: Project) -> list[tuple[str, str, str]]:
    """Return rows of the head warm-up, the memory format and the allocator, as ratios."""
    fast = run_script(project.folder, "network_passes.py", "channels_last", 64, "training")
    slow = run_script(
        project.folder, "network_passes.py", "contiguous", 64, "training", tuned=False
    )
    large = run_script(project.folder, "network_passes.py", "channels_last", 224)
    large_warmup, warmup = large["ratio"], fast["ratio"]
    validation = fast["validation"] / fast["forward"]
    naive = fast["naive_epoch"] * 20 / fast["forward"]
    training = slow["training"] / fast["training"]
    forward = slow["forward"] / fast["forward"]
    return [
        ("warm-up of 20 epochs over one forward pass", "1.5 x", f"{warmup:.2f} x"),
        ("  of which the pass over the validation data", "", f"{validation:.2f} x"),
        ("  the same warm-up at 224 px", "1.5 x", f"{large_warmup:.2f} x"),
        ("  the same with nothing cached", "", f"{naive:.1f} x"),
        ("channels_last + allocator, training step", "3 x", f"{training:.1f} x"),
        ("channels_last + allocator, forward pass", "", f"{forward:.1f} x"),
    ]


def concurrent_trainings(project: Project) -> list[tuple[str, str, str]]:
    """Return rows of two trainings at the same time on the same cores, and of one alone."""
    alone, together = {}, {}
    for tuned in (True, False):
        alone[tuned] = run_script(project.folder, "training_steps.py", tuned=tuned)["median"]
        both = [start_script(project.folder, "training_steps.py", tuned=tuned) for _ in range(2)]
        together[tuned] = sum(read_result(process)["total"] for process in both) / 2
    name = "GOMP_SPINCOUNT as thaw sets it"
    return [
        (f"{name}, two trainings at once", "", f"{together[False] / together[True]:.1f} x"),
        ("  one alone", "", f"{alone[False] / alone[True]:.2f} x"),
    ]


def timed(project: Project, *command: str) -> tuple[float, str]:
    """Return the seconds that a command took, and its output."""
    start = time.perf_counter()
    output = project.run(*command)
    return time.perf_counter() - start, output


if __name__ == "__main__":
    main()
