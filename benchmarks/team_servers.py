"""Measure teamwork on real servers: PostgreSQL, S3 and MLflow on loopback.

`make bench TARGETS="services --only search"`; needs the extra `services` and PostgreSQL.
"""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.command_line import parser
from benchmarks.result_tables import markdown
from tests import tiny
from tests.project import Project
from tests.services import colleague
from tests.services.outage import train_through_outage
from tests.services.registrations import Registrations
from tests.services.servers import Servers, running_servers
from tests.services.shaken_search import KILL, RESTART, run_shaken

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

Row = tuple[str, str, str]  # figure, goal, measured

_EPOCH = re.compile(r"epoch (\d+)/\d+ ")
_KILLS, _RESTARTS = 10, 2
_S3_FAULTS = 0.3
# Trials of about 0.1 s of processor time: the figure is about the bookkeeping, not the training.
_CHEAP_TRIALS = {
    "backbone__name": "lenet5",
    "backbone__weights": "none",
    "regularize__calibration": "off",
    "warmup_head__epochs": 1,
    "unfreeze__interpolate": "off",
    "search__space": {"unfreeze.lr": {"low": 1e-5, "high": 1e-2, "log": True}},
}


def end_to_end(servers: Servers, folder: Path, arguments: Namespace) -> Row:
    """Return the wall time of `dvc repro` on the digits, with servers and with the local store."""
    taken: dict[str, list[float]] = {"servers": [], "local": []}
    for repetition in range(arguments.repetitions):
        for name, variables in (("local", {}), ("servers", servers.variables)):
            place = folder / f"digits-{name}{repetition}"
            Project(place)
            project = colleague.Colleague(place, variables)
            if arguments.small:
                project.small()
            project.set(seed=repetition + 1)  # not the default: there must be something to commit
            project.commit("start")
            start = time.monotonic()
            project.run("dvc", "repro")
            taken[name].append(time.monotonic() - start)
    on_servers, local = (statistics.median(taken[name]) for name in ("servers", "local"))
    measured = f"{on_servers / local:.2f} x ({on_servers:.0f} s to {local:.0f} s)"
    return ("digits end to end on servers over the local store, wall time", "1.15 x", measured)


def two_ranks(servers: Servers, folder: Path, arguments: Namespace) -> Row:
    """Return the images a second of two ranks with one thread over one rank with two threads."""
    project = colleague.digits_project(folder / "ranks", servers.variables)
    project.set(backbone__image_size=arguments.image_size, unfreeze__depth=9)
    project.set(unfreeze__epochs=3, unfreeze__patience=3, warmup_head__epochs=1)
    project.run("dvc", "repro", "warmup_head")
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(arguments.repetitions):
        for ranks in (1, 2):
            project.set(launch__processes=ranks, launch__threads=2 // ranks)
            project.run("dvc", "repro", "warmup_head")
            rates[ranks].append(1 / statistics.median(_epoch_seconds(project)))
    ratio = statistics.median(rates[2]) / statistics.median(rates[1])
    label = f"two ranks over one with the same threads, {arguments.image_size} px, images a second"
    return (label, "0.9", f"{ratio:.2f}")


def search(servers: Servers, folder: Path, arguments: Namespace) -> Row:
    """Return the trials that a search lost or counted twice."""
    project = _small_project(servers, folder / "search")
    project.set(**_CHEAP_TRIALS)
    events = ([KILL] * (_KILLS // _RESTARTS) + [RESTART]) * _RESTARTS
    counts = run_shaken(project, servers, arguments.trials, workers=8, events=events)
    lost, double = arguments.trials - counts.complete, counts.counted - arguments.trials
    measured = f"{lost} lost, {double} twice ({arguments.trials} trials, {counts.repeats} repeats)"
    goal = "0 of 500"
    return (f"search, 8 workers, {_RESTARTS} restarts, {_KILLS} SIGKILLs", goal, measured)


def registration(servers: Servers, folder: Path, arguments: Namespace) -> Row:
    """Return the versions that are whole after registrations under errors of S3."""
    registrations = Registrations(folder / "registration", "faulty")
    attempts = 0
    with servers.store.faults(_S3_FAULTS):
        for number in range(arguments.registrations):
            while not registrations.register(number):
                attempts += 1
    whole = registrations.count() - len(registrations.incomplete())
    measured = (
        f"{whole} whole of {arguments.registrations}, {len(registrations.incomplete())} half; "
        f"{attempts} attempts failed as a whole and were repeated"
    )
    return ("registration under 30 % S3 errors, 50 times", "50 whole, 0 half", measured)


def away(servers: Servers, folder: Path, arguments: Namespace) -> Row:
    """Return what a minute without the MLflow server costs a training."""
    project = _small_project(servers, folder / "away")
    project.set(backbone__name="lenet5", backbone__weights="none")
    project.commit("a network that trains fast")
    found = train_through_outage(project, servers.mlflow, arguments.seconds)
    measured = (
        f"{found.missing} of {found.points} missing, {found.wrong} wrong in {found.seconds:.0f} s; "
        f"longest epoch {found.longest_pause:.2f} s (with the server {found.usual_pause:.2f} s), "
        f"of it waiting {found.longest_stall:.2f} s ({found.usual_stall:.2f} s)"
    )
    return ("MLflow server killed for a minute", "0 points, stalls of 1 s", measured)


FIGURES: dict[str, Callable[[Servers, Path, Namespace], Row]] = {
    "end-to-end": end_to_end,
    "ranks": two_ranks,
    "search": search,
    "registration": registration,
    "away": away,
}


def _small_project(servers: Servers, folder: Path) -> colleague.Colleague:
    """Return a project with 60 images."""
    folder.mkdir()
    photos = tiny.images(folder / "photos", each=20, size=32)
    project = colleague.new_project(folder / "colours", photos, servers.variables)
    project.set(tracking__experiment=folder.name)
    project.commit("small")
    return project


def _epoch_seconds(project: Project) -> list[float]:
    """Run the stage unfreeze; return the seconds of its epochs."""
    process = project.start("dvc", "repro", "--force", "--single-item", "unfreeze")
    assert process.stdout is not None
    times = [time.monotonic() for line in process.stdout if _EPOCH.search(line)]
    assert process.wait() == 0
    return [second - first for first, second in pairwise(times)]


def main() -> None:
    """Measure the figures that the command line names, and print them as a table."""
    accepted = parser(__doc__)
    accepted.add_argument("--only", choices=list(FIGURES))
    accepted.add_argument("--trials", type=int, default=500)
    accepted.add_argument("--registrations", type=int, default=50)
    accepted.add_argument("--seconds", type=float, default=60.0)
    accepted.add_argument("--repetitions", type=int, default=3)
    accepted.add_argument("--image-size", type=int, default=64, help="of the ranks, in pixels")
    accepted.add_argument("--small", action="store_true", help="a short training of the digits")
    arguments = accepted.parse_args()
    chosen = [arguments.only] if arguments.only else list(FIGURES)
    rows = []
    with tempfile.TemporaryDirectory() as folder, running_servers() as servers:
        os.environ |= servers.variables
        for name in chosen:
            rows.append(FIGURES[name](servers, Path(folder), arguments))
            print(*rows[-1], sep=" | ", flush=True)
    print()
    markdown(("figure", "to reach", "measured"), rows, Console())


if __name__ == "__main__":
    main()
