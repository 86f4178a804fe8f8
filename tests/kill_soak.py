"""Kill the pipeline with SIGKILL at random times, continue it, and compare (`make soak`).

Each round starts from nothing. `dvc repro` is killed in every stage: at a random time, or before or
after a random one of the writes of the stage (checkpoints, outputs, registration). Then it runs to
its end, and so does a promotion that is killed as well. The bits, the MLflow run and the registered
version must be those of a pipeline that was not interrupted.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient

from tests import kill_at_write, tiny
from tests.project import Project, environment
from thaw.promotion.verification import verify
from thaw.registry.ledger import Ledger

STAGES = ("prepare", "warmup_head", "unfreeze", "fold_bn", "evaluate")
ALIAS = "staging"
_LONGEST = 900.0  # seconds of a command
# Play a round in a new folder, count its kills, and return its faults.
Round = Callable[[Path, random.Random, Counter[str]], list[str]]


@dataclass
class Result:
    """Kills by stage and faults of some rounds."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def table(self, processes: int) -> str:
        """Return the result as a table."""
        lines = [f"{self.rounds} rounds, {processes} process(es), {len(self.faults)} faults"]
        lines += [f"{name:>24} {count:4d} kills" for name, count in sorted(self.kills.items())]
        return "\n".join([*lines, *self.faults])


def template(folder: Path, processes: int) -> Project:
    """Return a tiny project before its first run."""
    project = Project(folder)
    tiny.set_up(project)
    project.set(
        warmup_head__epochs=2,
        unfreeze__epochs=2,
        fold_bn__epochs=1,
        launch__processes=processes,
        resources__checkpoint_minutes=1e-6,  # a checkpoint in every step
    )
    return project


def repeat(numbers: range, seconds: float, folder: Path, play: Round) -> Result:
    """Play the rounds ``numbers``, or as many as begin within ``seconds``, in places in ``folder``.

    A place remains if its round had faults.
    """
    begun, result = time.monotonic(), Result()
    for number in numbers:
        if time.monotonic() - begun > seconds:
            break
        place, kills = folder / f"round {number}", Counter[str]()
        try:
            found = play(place, random.Random(number), kills)
        except (AssertionError, subprocess.SubprocessError) as error:
            found = [str(error)[-2000:]]
        result.faults += [f"round {number}: {fault}" for fault in found]
        result.kills += kills
        result.rounds += 1
        print(f"round {number}: {kills.total()} kills, {found or 'ok'}", flush=True)
        if not found:
            shutil.rmtree(place)
    return result


def rounds(count: int, processes: int, seed: int, folder: Path, seconds: float) -> Result:
    """Play ``count`` rounds, or as many as begin within ``seconds``."""
    (folder / "killer").mkdir()
    shutil.copy(kill_at_write.__file__, folder / "killer/sitecustomize.py")
    start = template(folder / "template", processes)
    reference = Project(copied(start, folder / "reference"))
    reference.run("dvc", "repro")
    expected = reference.digests()

    def play(place: Path, generator: random.Random, kills: Counter[str]) -> list[str]:
        project = Project(copied(start, place))
        _play(project, generator, folder / "killer", kills)
        return [*differences(project.digests(), expected), *store_faults(project)]

    return repeat(range(seed, seed + count), seconds, folder, play)


def copied(start: Project, folder: Path) -> Path:
    """Copy a project and return its folder."""
    return Path(shutil.copytree(start.folder, folder, symlinks=True))


def _play(project: Project, generator: random.Random, killer: Path, kills: Counter[str]) -> None:
    for stage in STAGES:
        command = ["dvc", "repro", stage]
        for _ in range(generator.randint(2, 4)):
            if _killed(project, command, stage, generator, killer):
                kills[stage] += 1
    project.run("dvc", "repro")
    promote = ["thaw", "promote", "1", "--to", ALIAS, "--force", "--reason", "soak"]
    if _killed(project, promote, "promote", generator, killer):
        kills["promote"] += 1
    project.run("thaw", "status")  # completes what was decided
    if current_version(project, ALIAS) is None:
        project.run(*promote)


def _killed(
    project: Project, command: list[str], stage: str, generator: random.Random, killer: Path
) -> bool:
    """Run a command and kill it in ``stage``; return whether it was killed before its end."""
    group = generator.choice(["group", "process"])
    variables = {**environment(), "PYTHONUNBUFFERED": "1"}
    by_write = generator.random() < 0.5
    if by_write:
        path = os.pathsep.join(filter(None, [str(killer), os.environ.get("PYTHONPATH")]))
        when = generator.choice(["before", "after"])
        place = f"{stage} {generator.randint(1, 25)} {when} {group}"
        variables |= {"PYTHONPATH": path, kill_at_write.VARIABLE: place}
    process = subprocess.Popen(
        command,
        cwd=project.folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    if not by_write:
        marker = "" if stage == "promote" else f"Running stage '{stage}'"
        for line in process.stdout:
            if marker and marker in line:
                break
            if not marker:
                break
        time.sleep(generator.uniform(0.0, 6.0))
        if process.poll() is None:
            if group == "group":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()  # the stage ends with DVC
    output = process.stdout.read()
    code = process.wait(_LONGEST)
    assert "Traceback" not in output, output
    _wait_for_stages(project)
    return code != 0


def _wait_for_stages(project: Project) -> None:
    """Wait until no process works in the project: a killed parent ends its children soon."""
    import psutil

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        inside = []
        for process in psutil.process_iter():
            try:
                inside += [process] if process.cwd() == str(project.folder) else []
            except psutil.Error:
                continue
        if not inside:
            return
        time.sleep(0.1)
    raise AssertionError(f"processes outlived the kill: {inside}")


def _client(project: Project) -> MlflowClient:
    return MlflowClient(f"sqlite:///{project.folder}/mlruns/mlflow.db")


def _ledger(project: Project, alias: str) -> Ledger:
    return Ledger(_client(project), "classifier", alias)


def current_version(project: Project, alias: str) -> int | None:
    """Return the version that has ``alias``, as its history says."""
    return _ledger(project, alias).current_version()


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Return the files of a result that are not as expected."""
    return [f"{name} differs" for name in expected if found.get(name) != expected[name]]


def store_faults(project: Project) -> list[str]:
    """Return what is wrong with runs, versions, models and the history."""
    client, faults = _client(project), []
    versions = client.search_model_versions("name = 'classifier'")
    numbers = sorted(int(one.version) for one in versions)
    if numbers != [1]:
        faults.append(f"versions {numbers}")
    experiment = client.get_experiment_by_name("thaw")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ACTIVE_ONLY)
    statuses = [run.info.status for run in runs]
    if statuses != ["FINISHED"]:
        faults.append(f"runs {statuses}")
    models = client.search_logged_models([experiment.experiment_id])
    if [str(model.status) for model in models] != ["READY"]:
        faults.append(f"models {[str(model.status) for model in models]}")
    for run in runs:
        for key in (key for key in run.data.metrics if not key.startswith("system/")):
            steps = [one.step for one in client.get_metric_history(run.info.run_id, key)]
            if len(steps) != len(set(steps)):
                faults.append(f"{key} was logged twice")
    for alias, expected in (("champion", "first"), (ALIAS, "promotion")):
        ledger = _ledger(project, alias)
        kinds = [row.decision.kind for row in ledger.rows()]
        if kinds != [expected] or ledger.current_version() != 1:
            faults.append(f"history of {alias}: {kinds}, version {ledger.current_version()}")
        if not verify(ledger).is_verified:
            faults.append(f"the history of {alias} does not verify")
    return faults


def main() -> None:
    """Print a table of kills and faults; exit with 1 if there are faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=24 * 60.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = rounds(
            chosen.rounds, chosen.processes, chosen.seed, Path(folder), chosen.minutes * 60
        )
    print(found.table(chosen.processes))
    raise SystemExit(bool(found.faults))


if __name__ == "__main__":
    main()
