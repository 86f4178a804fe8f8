"""Start a stage: the environment that makes it fast and repeatable, then Accelerate."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from thaw import config
from thaw.errors import ThawError
from thaw.process import LAUNCHER, cores, die_with_starter

STAGES = ("prepare", "warmup_head", "unfreeze", "fold_bn", "evaluate")
# glibc returns every large block to the kernel and faults it in again at the next step: half of
# the CPU's training time. Both thresholds must be set before the process starts.
_NEVER = str(4 << 30)
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": _NEVER,
    "MALLOC_TRIM_THRESHOLD_": _NEVER,
    # Other threads' arenas know no such thresholds: what a thread computes with would be unmapped.
    "MALLOC_ARENA_MAX": "1",
    # A thread that waits for the others spins for milliseconds by default, on the core that they
    # need where other programs run as well: docs/benchmarks.md.
    "GOMP_SPINCOUNT": "3000",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # deterministic matrix products on NVIDIA GPUs
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A tracking server that goes away must not stop training: the default waits 4 minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "DO_NOT_TRACK": "true",
}


def replace_process(stage: str) -> None:
    """Become the process that runs ``stage``; does not return.

    Raises:
        ThawError: no such stage, or ``params.yaml`` is wrong.
    """
    if stage not in STAGES:
        raise ThawError(f"there is no stage {stage!r}: choose from {', '.join(STAGES)}")
    die_with_starter()
    launch = config.load(config.Params).launch
    threads = launch.threads or max(1, cores() // launch.processes)
    environment = {**ENVIRONMENT, **os.environ, "OMP_NUM_THREADS": str(threads)}
    environment[LAUNCHER] = str(os.getpid())  # which exec keeps
    module = f"thaw.stages.{stage}"
    if stage == "prepare":
        command = [sys.executable, "-m", module]
    else:
        command = accelerate_command(module, launch, threads)
    os.execvpe(command[0], command, environment)  # noqa: S606


def set_environment() -> None:
    """Start this command once more with ``ENVIRONMENT``, unless it has that already."""
    if ENVIRONMENT.keys() <= os.environ.keys():
        return
    environment = {"OMP_NUM_THREADS": str(cores()), **ENVIRONMENT, **os.environ}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606


def replace_by_ui(port: int) -> None:
    """Become MLflow's server on this project's store; does not return.

    Raises:
        ThawError: the store is a server already.
    """
    from thaw.tracking import connect, store_uri

    tracking = config.load(config.Params).tracking
    uri = store_uri(tracking)
    if uri.startswith("http"):
        raise ThawError(f"the runs are on the MLflow server {uri}: open it in a browser")
    connect(tracking)
    # Its default of 4 workers and 7 job processes takes 18 s to start and 1.9 GB.
    environment = {**ENVIRONMENT, **os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, *options]
    os.execvpe(command[0], command, environment)  # noqa: S606


def accelerate_command(module: str, launch: config.Launch, threads: int) -> list[str]:
    """``accelerate launch`` for one process or several, on CPUs as on GPUs.

    ``--multi_gpu`` is also what starts several processes on a CPU: with ``--cpu``, Accelerate
    starts one and says nothing (huggingface/accelerate#2741).
    """
    several = ["--multi_gpu", "--main_process_port", "0"] if launch.processes > 1 else []
    # Whatever the user has told `accelerate config` for other work is not for these stages.
    own = Path(__file__).with_name("accelerate.yaml")
    return [
        sys.executable,
        *["-m", "thaw.spawn", "--module", "--config_file", str(own), *several],
        *["--num_processes", str(launch.processes), "--num_machines", "1"],
        *["--num_cpu_threads_per_process", str(threads)],
        *["--mixed_precision", launch.mixed_precision, "--dynamo_backend", "no"],
        module,
    ]
