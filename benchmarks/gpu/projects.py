"""Projects of the benchmark: synthetic photos or the digits, and stages run without DVC."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from thaw.config.editing import write_values
from thaw.system import tool_lock
from thaw.system.processes import cores
from thaw.system.project_paths import TOOL_LOCK
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
_COMMAND = "from thaw.cli.main import main; main()"
_HEIGHT, _WIDTH = 256, 320


def make_photos(folder: Path, classes: int, each: int) -> Path:
    """Write JPEGs of 320 x 256 pixels, ``each`` in each of ``classes``, which are gratings."""
    if folder.exists():
        return folder
    for label in range(classes):
        (folder / f"c{label:02d}").mkdir(parents=True)
    work = [(folder, label, number) for label in range(classes) for number in range(each)]
    with ProcessPoolExecutor(cores()) as pool:
        list(pool.map(_write_photo, work, chunksize=64))
    return folder


def _write_photo(work: tuple[Path, int, int]) -> None:
    folder, label, number = work
    generator = np.random.default_rng(label * 100_003 + number)
    rows, columns = np.mgrid[0:_HEIGHT, 0:_WIDTH].astype(np.float32)
    frequency, angle = 0.02 + 0.01 * (label % 4), label // 4 * 0.8 + generator.normal(0, 0.1)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    wave = np.sin(6.28 * (frequency * along + generator.uniform(0, 1)))
    channels = [wave * generator.uniform(40, 90) + 128 + generator.normal(0, 20) for _ in range(3)]
    pixels = np.stack(channels, -1) + generator.normal(0, 18, (_HEIGHT, _WIDTH, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    image.save(folder / f"c{label:02d}" / f"{number:05d}.jpg", quality=88)


def make_project(folder: Path, values: Mapping[str, Any]) -> Path:
    """Write ``params.yaml`` of this repository with other ``values``, and the lock of the code."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data" / "raw").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", folder)
    write_values(values, folder / "params.yaml")
    tool_lock.write(tool_lock.installed(), folder / TOOL_LOCK)
    return folder


def run_stages(project: Path, stages: Iterable[str] = STAGES, *, cpu: bool = False) -> None:
    """Run stages as ``dvc.yaml`` does, each in its own process, on the GPU or on the CPU."""
    for stage in stages:
        done = subprocess.run(
            stage_command(stage), cwd=project, env=environment(cpu=cpu), capture_output=True,
            text=True,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise RuntimeError(f"{stage} ended with {done.returncode}: {last}")


def stage_command(stage: str) -> list[str]:
    """Return the command that runs a stage."""
    return command("stage", stage)


def command(*arguments: str) -> list[str]:
    """Return the command `thaw`, which need not be installed."""
    return [sys.executable, "-P", "-c", _COMMAND, *arguments]


def environment(*, cpu: bool = False) -> dict[str, str]:
    """Return the variables of a stage, which finds the package of this checkout."""
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    # A machine whose containers write no bytecode would compile all imports in every process.
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    found.setdefault("PYTHONPYCACHEPREFIX", str(Path(tempfile.gettempdir(), "thaw-bytecode")))
    return {**found, "CUDA_VISIBLE_DEVICES": ""} if cpu else found


def accuracy(project: Path) -> float:
    """Return the accuracy on the test split that ``evaluate`` wrote."""
    content = json.loads((project / "reports/evaluate/metrics.json").read_text())
    return float(content["test"]["accuracy"])


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Make ``folder`` the working directory."""
    with contextlib.chdir(folder):
        yield
