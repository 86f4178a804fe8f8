from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests import settings
from tests.training import phase
from thaw.cli import checked_model
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.process_sections import Launch
from thaw.system import launching, tool_lock
from thaw.system.code_digests import PACKAGE, compute
from thaw.system.interrupts import FIRST_MODULE
from thaw.system.processes import LAUNCHER
from thaw.system.stage_names import STAGES
from thaw.training import accelerator

ROOT = Path(__file__).parents[2]

# Stands for a stage: says who and where it is instead of working, or ends as it is told to.
STAGE = """
import json, os, sys
from thaw.errors import ThawError
from thaw.system.processes import run_main

def main():
    kept = {"pid": os.getpid(), "argv": sys.orig_argv, "environment": dict(os.environ)}
    name = os.path.basename(sys.argv[0])
    rank = os.environ.get("RANK", "0")
    open(f"{name}.{rank}.json", "w").write(json.dumps(kept))
    match os.environ.get("END"):
        case "mistake": raise ThawError("there is no data")
        case "bug": raise ValueError("a bug")
        case "killed": os.kill(os.getpid(), 9)

run_main(main)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package whose stages say what they got, in the folder that is returned."""
    folder = tmp_path_factory.mktemp("package")
    package = folder / "thaw"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for stage in STAGES:
        (package / "stages" / f"{stage}.py").write_text(STAGE)
    return folder


@pytest.fixture(scope="module")
def lock(package: Path) -> tool_lock.ToolLock:
    return replace(tool_lock.installed(), stages=compute(package / "thaw"))


@pytest.fixture
def project(
    package: Path, lock: tool_lock.ToolLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A new folder with params.yaml, whose stages are those of ``package``.

    Its modules must not be imported in any test: a file of the project may have any name.
    """
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    for name in ("random.py", "torch.py", "json.py", "accelerate.py"):
        Path(name).write_text("raise ValueError('a file of the project was imported')\n")
    tool_lock.write(lock)
    # Bytecode of the copy is kept, so that not every process compiles it again.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(package))
    return tmp_path


def configure(**values: object) -> None:
    """Change values of the section ``launch``."""
    write_values({f"launch.{key}": value for key, value in values.items()})


def start(stage: str, code: int = 0, **environment: str) -> tuple[int, str]:
    """Run ``thaw stage NAME`` on the copy; the pid that was started, and what was written."""
    clean = {
        key: value
        for key, value in os.environ.items()
        if key not in launching.ENVIRONMENT and not key.startswith("OMP_")
    }
    if stage == "prepare":  # which would import torch and try the model; test_checked_model.py
        checked_model.record(load(Params))
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", "from thaw.cli.main import main; main()", "stage", stage],
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return process.pid, output


def said(stage: str) -> list[dict[str, Any]]:
    """Return the records of the processes of the stage, by rank."""
    return [json.loads(path.read_text()) for path in sorted(Path().glob(f"{stage}.py.*.json"))]


@pytest.mark.slow
def test_prepare_is_one_process_and_imports_no_module_from_the_folder_of_the_project(
    project: Path,
) -> None:
    pid, _ = start("prepare")
    (process,) = said("prepare")
    assert process["pid"] == pid
    assert process["argv"][1:] == ["-P", "-m", FIRST_MODULE, "thaw.stages.prepare"]
    # the environment that makes it fast and repeatable
    environment = process["environment"]
    assert environment.items() >= launching.ENVIRONMENT.items()
    assert int(environment["MALLOC_TRIM_THRESHOLD_"]) >= 2**32
    assert environment["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert environment["OMP_NUM_THREADS"] == str(len(os.sched_getaffinity(0)))


@pytest.mark.slow
def test_variables_of_the_user_are_kept_but_the_threads_are_those_of_params_yaml(
    project: Path,
) -> None:
    configure(threads=3)
    # THAW_LAUNCHER: as a search would start the stage, with the launcher of the outer stage
    start(
        "prepare", CUBLAS_WORKSPACE_CONFIG=":16:8", MY_OWN="1", OMP_NUM_THREADS="7",
        THAW_LAUNCHER="1",
    )  # fmt: skip
    (process,) = said("prepare")
    environment = process["environment"]
    assert environment["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert environment["MY_OWN"] == "1"
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment[LAUNCHER] == str(process["pid"])


@pytest.mark.slow
def test_a_single_process_takes_the_place_of_the_command_and_ignores_the_users_files(
    project: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "hub" / "accelerate"
    folder.mkdir(parents=True)
    hostile = "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nnum_processes: 4\n"
    (folder / "default_config.yaml").write_text(hostile + "num_machines: 2\ngpu_ids: '3'\n")
    configure(threads=2, precision="bf16")
    pid, _ = start("warmup_head", HF_HOME=str(tmp_path / "hub"))
    (process,) = said("warmup_head")
    # A launcher beside it would have imported torch for nothing.
    assert process["pid"] == pid
    environment = process["environment"]
    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment["ACCELERATE_MIXED_PRECISION"] == "no"  # thaw rounds by itself
    assert environment.items() >= launching.ENVIRONMENT.items()
    assert "WORLD_SIZE" not in environment
    assert environment.get("CUDA_VISIBLE_DEVICES") != "3"


@pytest.mark.slow
def test_accelerate_starts_as_many_processes_as_asked_for_and_ignores_the_users_files(
    project: Path,
) -> None:
    # With --cpu it would start one and say nothing (huggingface/accelerate#2741).
    configure(processes=2, threads=2, precision="bf16")
    start("warmup_head")
    ranks = said("warmup_head")
    assert len(ranks) == 2
    for rank, process in enumerate(ranks):
        environment = process["environment"]
        assert environment["WORLD_SIZE"] == "2"
        assert environment["RANK"] == str(rank)
        assert environment["OMP_NUM_THREADS"] == "2"
        assert environment["ACCELERATE_MIXED_PRECISION"] == "no"
        assert environment.items() >= launching.ENVIRONMENT.items()


@pytest.mark.pipelines
def test_two_machines_meet_at_the_address_of_accelerates_configuration(
    project: Path, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "out").mkdir()
    running = []
    for rank in range(2):  # each stands for a machine
        config = two_machines(tmp_path, rank, port)
        launch = Launch(processes="auto", config=config)
        command = launching.accelerate_command("tests.training.machines", launch, threads=1)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        running.append(
            subprocess.Popen(
                [*command, str(tmp_path / "out"), config], env=environment, cwd=ROOT,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
        )  # fmt: skip
    for process in running:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    first, second = (load_file(tmp_path / "out" / f"{rank}.safetensors") for rank in range(2))
    assert phase.differing(first, second) == []
    sources = phase.images(tmp_path / "train"), phase.images(tmp_path / "val", phase.VAL)
    alone = phase.model(2, "frozen")
    phase.fit(tmp_path / "alone", alone, sources)
    for name, value in phase.state(alone).items():
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-4, msg=name)


def two_machines(tmp_path: Path, rank: int, port: int) -> str:
    """Write Accelerate's configuration of a machine of two, and return its path."""
    path = tmp_path / f"machine-{rank}.yaml"
    path.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nnum_machines: 2\n"
        f"num_processes: 2\nmachine_rank: {rank}\nmain_process_ip: 127.0.0.1\n"
        f"main_process_port: {port}\nrdzv_backend: static\nsame_network: true\n"
    )
    return str(path)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_machine_waits_for_the_first_one_as_long_as_processes_wait_for_each_other(
    tmp_path: Path,
) -> None:
    launch = Launch(processes="auto", config=two_machines(tmp_path, 1, 1))
    command = launching.accelerate_command("module", launch, threads=1)
    assert command[command.index("--rdzv_conf") + 1] == "timeout=43200,join_timeout=43200"
    assert accelerator._LONGEST_WAIT.total_seconds() == launching.MEETING_SECONDS


@pytest.mark.pipelines
def test_a_machine_that_the_first_one_never_meets_says_so_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "MEETING_SECONDS", 2)
    launch = Launch(processes="auto", config=two_machines(tmp_path, 1, port := free_port()))
    command = launching.accelerate_command("tests.training.machines", launch, threads=1)
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 2
    *_, line = done.stderr.splitlines()
    assert line.startswith(f"error: the 2 machines did not meet at 127.0.0.1:{port} (")
    assert line.endswith(f"check main_process_ip and main_process_port in {launch.config}")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_stage_starts_the_processes_of_accelerates_configuration(project: Path) -> None:
    Path("cluster.yaml").write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nnum_machines: 1\n"
        "num_processes: 2\nmain_process_port: 0\nmixed_precision: bf16\n"
    )
    configure(processes="auto", config="cluster.yaml")
    start("warmup_head")
    ranks = said("warmup_head")
    assert [process["environment"]["WORLD_SIZE"] for process in ranks] == ["2", "2"]
    assert ranks[0]["environment"]["ACCELERATE_MIXED_PRECISION"] == "no"
    start("prepare")
    assert len(said("prepare")) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has PR_SET_PDEATHSIG")
def test_a_stage_whose_dvc_was_killed_before_it_could_notice_does_not_start(project: Path) -> None:
    start("prepare", code=-9, THAW_STARTER="1")
    assert not said("prepare")
    start("prepare", THAW_STARTER=str(os.getpid()))
    start("prepare", THAW_STARTER="")  # a shell without $PPID
    (process,) = said("prepare")
    assert "THAW_STARTER" not in process["environment"]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_users_mistake_in_a_stage_comes_through_the_launcher(
    processes: int, project: Path
) -> None:
    configure(processes=processes)
    _, output = start("warmup_head", code=2, END="mistake")
    assert set(output.splitlines()) == {"error: there is no data"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "code", "processes"),
    [
        pytest.param("bug", 1, 1, marks=pytest.mark.soak),
        ("bug", 1, 2),
        ("killed", -9, 1),
        pytest.param("killed", 137, 2, marks=pytest.mark.soak),
    ],
)
def test_a_stage_that_breaks_is_an_exit_code_and_the_stages_own_traceback(
    end: str, code: int, processes: int, project: Path
) -> None:
    configure(processes=processes)
    _, output = start("warmup_head", code=code, END=end)
    assert "accelerate/commands" not in output
    assert ("ValueError: a bug" in output) is (end == "bug")


def test_the_cores_are_shared_out_among_the_processes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    # The only way to see the command without starting three processes.
    monkeypatch.setattr(os, "execvpe", lambda _, command, __: started.append(command))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(launching, "die_with_starter", lambda: None)
    launching.replace_process(
        "unfreeze", settings.PARAMS.launch.model_copy(update={"processes": 3})
    )
    (command,) = started
    assert command[command.index("--num_cpu_threads_per_process") + 1] == "2"
    assert command[command.index("--num_processes") + 1] == "3"


def test_every_stage_is_a_module() -> None:
    modules = {path.stem for path in (PACKAGE / "stages").glob("*.py")}
    assert set(STAGES) <= modules
