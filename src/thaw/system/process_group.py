"""The processes of a stage over all machines, from ``launch`` and a file of Accelerate's."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw.errors import ThawError
from thaw.system.devices import gpu_count

if TYPE_CHECKING:
    from collections.abc import Mapping

# The kinds of training in a file of Accelerate's that thaw does.
_KINDS = ("NO", "MULTI_GPU")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


class ProcessSettings(Protocol):
    """Processes and CPU threads of a stage, as in the section ``launch``."""

    @property
    def processes(self) -> int | Literal["auto"]:
        """Return the number of processes; ``auto`` is one for each GPU."""

    @property
    def threads(self) -> int:
        """Return the CPU threads of a process; 0 shares out the cores."""

    @property
    def config(self) -> str:
        """Return the path of Accelerate's configuration file; "" for none."""


@dataclass(frozen=True)
class ProcessGroup:
    """The number of processes on all machines together, and the number of machines."""

    processes: int
    machines: int = 1

    @property
    def on_this_machine(self) -> int:
        """The processes of one machine."""
        return self.processes // self.machines


def process_group(settings: ProcessSettings) -> ProcessGroup:
    """Return the processes that ``settings`` ask for.

    Without a file, ``auto`` is the number of GPUs that torch can use, or 1 if there is none. With
    one, the file says how many there are, and ``processes`` must be ``auto`` or say the same.

    Raises:
        ThawError: the file cannot be used.
    """
    wanted = settings.processes
    if not settings.config:
        return ProcessGroup(max(1, gpu_count()) if wanted == "auto" else wanted)
    path = config_file(settings.config)
    group = _group(_read(path), path)
    if wanted not in {"auto", group.processes}:
        raise ThawError(
            f"params.yaml: launch.processes is {wanted}, but num_processes in {path} is "
            f"{group.processes}: set launch.processes to auto"
        )
    return group


def config_file(config: str) -> str:
    """Return the path ``launch.config`` with the values of its environment variables, as in $NAME.

    Two jobs on one machine, of the same parameters, have a file each: ``deploy/machine.sh``.

    Raises:
        ThawError: a variable is not set.
    """
    unset = [name for name in _VARIABLE.findall(config) if name not in os.environ]
    if unset:
        raise ThawError(
            f"params.yaml: launch.config: {config}: the environment variable {unset[0]} is not "
            "set: set it, so that this is the path of a file of Accelerate's, as "
            "deploy/machine.sh does with THAW_MACHINE"
        )
    return _VARIABLE.sub(lambda found: os.environ[found[1]], config)


def refuse_more_than_gpus(group: ProcessGroup) -> None:
    """Raise if two processes would share a GPU, which their communication does not allow.

    Raises:
        ThawError: this machine has fewer GPUs than processes.
    """
    processes, gpus = group.on_this_machine, gpu_count()
    if processes > gpus:
        raise ThawError(
            f"params.yaml: launch.processes: {processes} processes on a machine with {gpus} "
            f"{'GPU' if gpus == 1 else 'GPUs'}, each of which computes for one: set auto, or "
            "hide the GPUs (CUDA_VISIBLE_DEVICES=) to compute on the CPU"
        )


def _group(content: Mapping[str, Any], path: str) -> ProcessGroup:
    kind = str(content.get("distributed_type", "NO")).upper()
    processes, machines = content.get("num_processes", 1), content.get("num_machines", 1)
    if kind not in _KINDS:
        raise _refusal(
            path,
            f"distributed_type is {kind}: thaw trains with {' or '.join(_KINDS)} (DDP); "
            "launch.shard: on divides the weights among the processes (FSDP2)",
        )
    if not all(isinstance(number, int) and number > 0 for number in (processes, machines)):
        raise _refusal(path, "num_processes and num_machines must be whole numbers above 0")
    if processes % machines:
        raise _refusal(
            path, f"num_processes, {processes}, must be a multiple of num_machines, {machines}"
        )
    if processes > 1 and kind == "NO":
        raise _refusal(path, "distributed_type is NO, which starts one process: set MULTI_GPU")
    if processes > 1 and content.get("use_cpu"):
        # Accelerate would start independent trainings of one process each.
        raise _refusal(path, "use_cpu must be false; without a GPU, processes compute on the CPU")
    return ProcessGroup(processes, machines)


def _read(path: str) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}; correct launch.config, or write the file"
        raise _refusal(path, reason) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise _refusal(path, f"it is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise _refusal(path, "it must hold the keys of `accelerate config`")
    return content


def _refusal(path: str, reason: str) -> ThawError:
    return ThawError(f"params.yaml: launch.config: {path}: {reason}")
