"""Start a stage: the environment that makes it fast and repeatable, then Accelerate."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.system.environment import clean
from thaw.system.interrupts import FIRST_MODULE, become, release_signals
from thaw.system.process_group import ProcessGroup, config_file, process_group
from thaw.system.processes import LAUNCHER, cores, die_with_starter

if TYPE_CHECKING:
    from thaw.system.process_group import ProcessSettings

# glibc returns every large block to the kernel and faults it in again at the next step: half of
# the CPU's training time. Both thresholds must be set before the process starts.
_NEVER = str(4 << 30)
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": _NEVER,
    "MALLOC_TRIM_THRESHOLD_": _NEVER,
    # Other threads' arenas know no such thresholds: what a thread computes with would be unmapped.
    "MALLOC_ARENA_MAX": "1",
    # A thread that waits for the others spins for milliseconds by default, on the core that they
    # need where other programs run as well: docs/measured_choices.md.
    "GOMP_SPINCOUNT": "3000",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # deterministic matrix products on NVIDIA GPUs
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A tracking server that stops answering must not stop training: the default waits 4 minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "DO_NOT_TRACK": "true",
}

# How long machines wait for the first one, as long as processes do later: training/accelerator.py.
MEETING_SECONDS = 12 * 3600


def replace_process(stage: str, settings: ProcessSettings) -> None:
    """Become the process that runs ``stage``; does not return."""
    die_with_starter()
    group = ProcessGroup(1) if stage == "prepare" else process_group(settings)
    threads = settings.threads or max(1, cores() // group.on_this_machine)
    environment = {**ENVIRONMENT, **os.environ, "OMP_NUM_THREADS": str(threads)}
    environment[LAUNCHER] = str(os.getpid())  # which exec keeps
    clean(environment)
    module = f"thaw.stages.{stage}"
    if stage == "prepare":
        command = [sys.executable, "-P", "-m", FIRST_MODULE, module]
    else:
        command = accelerate_command(module, settings, threads, group)
    become(command, environment)


def set_environment() -> None:
    """Start this command once more with ``ENVIRONMENT``, unless it has that already."""
    if ENVIRONMENT.keys() <= os.environ.keys():
        release_signals()  # which this function has held before this program began
        return
    environment = {"OMP_NUM_THREADS": str(cores()), **ENVIRONMENT, **os.environ}
    become([sys.executable, *sys.orig_argv[1:]], environment)


def accelerate_command(
    module: str, settings: ProcessSettings, threads: int, group: ProcessGroup | None = None
) -> list[str]:
    """Return the command that starts one process or several, on CPUs as on GPUs.

    ``group`` are the processes of ``settings``, if they are known already.
    """
    group = group or process_group(settings)
    return [
        *[sys.executable, "-P", "-m", FIRST_MODULE, "thaw.system.accelerate_launcher", "--module"],
        *_group_options(settings.config, group),
        *["--num_processes", str(group.processes)],
        *["--num_cpu_threads_per_process", str(threads)],
        *["--mixed_precision", "no", "--dynamo_backend", "no"],
        module,
    ]


def _group_options(config: str, group: ProcessGroup) -> list[str]:
    """Return the options that say which processes meet where.

    ``--multi_gpu`` is also what starts several processes on a CPU: with ``--cpu``, Accelerate
    starts one and says nothing (huggingface/accelerate#2741).
    """
    if config:
        # torch's 15 minutes end before a long `prepare` on the first machine does.
        wait = f"timeout={MEETING_SECONDS},join_timeout={MEETING_SECONDS}"  # static and c10d
        return ["--config_file", config_file(config), "--rdzv_conf", wait]
    # What the user has told `accelerate config` for other work is not for these stages.
    own = Path(__file__).with_name("accelerate.yaml")
    several = ["--multi_gpu", "--main_process_port", "0"] if group.processes > 1 else []
    return ["--config_file", str(own), *several, "--num_machines", "1"]
