"""Kill many stages with SIGKILL in little time: each one is a fork of a process that has imported.

`python -m tests.kill_soak` starts `dvc repro` for each kill, which imports for seconds and trains
for one. Here the imports are done once, so that most of the time is between the kills. What is
compared after a round is the same; DVC and the launcher take no part. Rounds of two processes kill
one of the ranks, or both.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tests.forks import Forks, Kill, in_child
from tests.kill_soak import (
    ALIAS,
    STAGES,
    Result,
    copied,
    current_version,
    differences,
    repeat,
    store_faults,
    template,
)
from tests.project import Project
from thaw.system.launching import set_environment

if TYPE_CHECKING:
    import random
    from collections import Counter

_PROMOTE = ("promote", "1", "--to", ALIAS, "--force", "--reason", "soak")


def _import_all() -> None:
    stages = [f"thaw.stages.{stage}" for stage in STAGES]
    others = ("dvc.cli", "dvc.repo", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store")
    for name in (*stages, "thaw.cli.app", *others):
        import_module(name)


def rounds(numbers: range, processes: int, folder: Path, seconds: float, most: int) -> Result:
    """Play the rounds ``numbers``, or as many as begin within ``seconds``.

    Each stage is started up to ``most`` times with a kill before it runs to its end.
    """
    _import_all()
    start = template(folder / "template", processes)
    reference = Project(copied(start, folder / "reference"))
    forks = Forks(reference, processes)
    for stage in STAGES:
        forks.stage(stage)
    expected = reference.digests()

    def play(place: Path, generator: random.Random, kills: Counter[str]) -> list[str]:
        project = Project(copied(start, place))
        _play(Forks(project, processes), generator, kills, most)
        return [*differences(project.digests(), expected), *_faults_of_store(project)]

    return repeat(numbers, seconds, folder, play)


def _play(forks: Forks, generator: random.Random, kills: Counter[str], most: int) -> None:
    for stage in STAGES:
        for _ in range(generator.randint(1, most)):
            kills[stage] += forks.stage(stage, Kill.drawn(generator, forks.processes))
        forks.stage(stage)
    forks.dvc_commit()
    kills["promote"] += forks.verb(*_PROMOTE, kill=Kill.drawn(generator, 1))
    forks.verb("status")  # completes what was decided
    if in_child(current_version, forks.project, ALIAS) is None:
        forks.verb(*_PROMOTE)


def _faults_of_store(project: Project) -> list[str]:
    """Return the faults as a child finds them: MLflow keeps the store of a process for ever."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, "\n".join(store_faults(project)).encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        found = stream.read()
    assert os.waitpid(pid, 0)[1] == 0, "the store could not be read"
    return found.splitlines()


def main() -> None:
    """Print a table of kills and faults; exit with 1 if there are faults."""
    set_environment()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=24 * 60.0)
    parser.add_argument("--most", type=int, default=3, help="kills of a stage in a round")
    chosen = parser.parse_args()
    # A TemporaryDirectory would be removed by each child that ends.
    folder = Path(tempfile.mkdtemp())
    numbers = range(chosen.seed, chosen.seed + chosen.rounds)
    found = rounds(numbers, chosen.processes, folder, chosen.minutes * 60, chosen.most)
    shutil.rmtree(folder)
    print(found.table(chosen.processes))
    raise SystemExit(bool(found.faults))


if __name__ == "__main__":
    main()
