"""Run the stages for a golden case. This is the only golden module that knows thaw's layout."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import PartialState

from tests import tiny
from tests.golden.cases import BASE
from tests.project import ROOT, environment
from thaw.config.editing import write_values
from thaw.config.process_sections import Launch
from thaw.stages import fold_bn, prepare, unfreeze, warmup_head
from thaw.system.launching import ENVIRONMENT, accelerate_command
from thaw.training import history

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAIN = {
    "prepare": prepare.main,
    "warmup_head": warmup_head.main,
    "unfreeze": unfreeze.main,
    "fold_bn": fold_bn.main,
}
TRAINING = ("warmup_head", "unfreeze", "fold_bn")


def make_project() -> None:
    """Write images and parameters into the working directory, and prepare the images."""
    tiny.images(Path("images"), size=32)
    Path("data/raw").mkdir(parents=True)
    set_params({})
    MAIN["prepare"]()


def set_params(changes: Mapping[str, Any]) -> None:
    """Write ``params.yaml``: the golden parameters with ``BASE`` and ``changes``."""
    shutil.copy(ROOT / "tests/golden/params.yaml", "params.yaml")
    write_values({**BASE, **changes})


def run_in_process(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Train all phases of a case in this process and return its losses and digests."""
    shutil.rmtree("models", ignore_errors=True)
    set_params(changes)
    for stage in TRAINING:
        MAIN[stage]()
    return results()


def results() -> dict[str, Any]:
    """Return losses by stage and epoch, and the digest of each stage's weights."""
    found: dict[str, Any] = {}
    for stage in TRAINING:
        rows = history.read(Path("reports") / stage / "history.csv")
        found[stage] = {
            "train_loss": [row.train_loss for row in rows],
            "val_loss": [row.val_loss for row in rows],
            "weights": weights_digests(stage),
        }
    return found


def weights_digests(stage: str) -> dict[str, str]:
    """Return the SHA-256 of every weights file of ``stage``, by its path below ``models``."""
    return {
        path.relative_to("models").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path("models", stage).rglob("*.safetensors"))
    }


def model_facts(folder: Path) -> dict[str, Any]:
    """Return what ``model.json`` says that no change of its format may change."""
    content = json.loads((folder / "model.json").read_text())
    kept = ("backbone", "classes", "preprocessing", "blocks", "trained", "folded", "merged")
    return {name: content[name] for name in kept}


def run_in_processes(cases: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Train all phases of the cases in two processes, which Accelerate starts once."""
    for name, changes in cases.items():
        for folder in ("data", "images"):
            shutil.copytree(folder, Path(name, folder))
        with contextlib.chdir(name):
            set_params(changes)
    command = accelerate_command("tests.golden.stages", Launch(processes=2), threads=1)
    python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {**environment(), **ENVIRONMENT, "PYTHONPATH": python_path}
    done = subprocess.run([*command, *cases], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {}
    for name in cases:
        with contextlib.chdir(name):
            found[name] = results()
    return found


def _run_as_one_of_several(folders: Sequence[str]) -> None:
    """Train all phases of the projects in ``folders``."""
    for folder in folders:
        with contextlib.chdir(folder):
            for stage in TRAINING:
                MAIN[stage]()
                PartialState().wait_for_everyone()  # until the first process has written the model


def digits_results() -> dict[str, Any]:
    """Return the metrics and, of every model, weights and facts of a pipeline on the digits."""
    folders = [path.parent for path in sorted(Path("models").rglob("model.json"))]
    digests = {key: value for stage in TRAINING for key, value in weights_digests(stage).items()}
    scores = json.loads(Path("reports/evaluate/report.json").read_text())
    metrics = scores.get("uncalibrated", scores["test"])  # the golden files are older
    facts = {path.relative_to("models").as_posix(): model_facts(path) for path in folders}
    return {"weights": digests, "facts": facts, "metrics": metrics}


if __name__ == "__main__":
    _run_as_one_of_several(sys.argv[1:])
