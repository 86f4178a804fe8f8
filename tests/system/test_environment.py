from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from thaw.system.environment import clean, launcher_variables

if TYPE_CHECKING:
    from pathlib import Path

LEFT_OVER = {
    "WORLD_SIZE": "2",
    "RANK": "1",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "192.0.2.1",
    "MASTER_PORT": "29500",
    "OMPI_COMM_WORLD_SIZE": "4",
    "PMI_SIZE": "4",
    "SLURM_PROCID": "3",
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_MIXED_PRECISION": "fp8",
    "TORCHELASTIC_RUN_ID": "x",
}
KEPT = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "1", "SLURM_JOB_ID": "7", "OMP_NUM_THREADS": "2"}


def test_variables_of_other_launchers_are_removed_and_others_stay() -> None:
    environment = {
        **LEFT_OVER,
        **KEPT,
        "MLFLOW_RUN_ID": "r",
        "MLFLOW_ACTIVE_MODEL_ID": "m",
        "GIT_DIR": "/x",
    }
    clean(environment)
    assert environment == {**KEPT, "PYTHONSAFEPATH": "1", "MPLBACKEND": "agg"}
    assert launcher_variables(LEFT_OVER) == sorted(LEFT_OVER)


@pytest.mark.slow
def test_warnings_are_no_errors_and_no_window_is_needed_for_plots() -> None:
    program = (
        "from thaw.system import environment; environment.clean(); import os, warnings;"
        "from matplotlib.figure import Figure; warnings.warn('old', DeprecationWarning);"
        "warnings.warn('slow', RuntimeWarning); print(os.environ.get('PYTHONWARNINGS'))"
    )
    for value, kept in (("error", "None"), ("error::RuntimeWarning", "None"), ("once", "once")):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONWARNINGS": value, "MPLBACKEND": "of another program"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, f"{kept}\n"), done.stderr


def test_the_repository_of_a_git_hook_is_not_taken_for_that_of_the_project(
    tmp_path: Path,
) -> None:
    for name in ("project", "other"):
        subprocess.run(["git", "init", "--quiet", tmp_path / name], check=True)
    environment = {**os.environ, "GIT_DIR": str(tmp_path / "other/.git")}
    clean(environment)
    found = subprocess.run(
        ["git", "rev-parse", "--show-toplevel"],
        cwd=tmp_path / "project",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str((tmp_path / "project").resolve())


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["-m", "thaw.cli"], ["-c", "from thaw.cli.main import main; main()"]]
)
def test_a_single_process_does_not_wait_for_others_that_a_variable_names(
    tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "params.yaml").write_text(
        "backbone: {name: lenet5, weights: none, image_size: 32}\n"
        "data: {source: digits, path: raw, root: raw}\nunfreeze: {depth: 2}\n"
    )
    (tmp_path / "raw").mkdir()
    environment = {**os.environ, **LEFT_OVER}
    done = subprocess.run(
        [sys.executable, *command, "find-lr", "warmup_head"], cwd=tmp_path, env=environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "error: " in done.stderr  # there is no prepared data: it got as far as that
    assert "Traceback" not in done.stderr
