"""Refuse numbers of processes that would take the machine down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.system.process_group import process_group
from thaw.system.processes import cores
from thaw.system.project_paths import PARAMS_FILE
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from thaw.config.params import Params

_FEWEST_PROCESSES, _PROCESSES_PER_CORE = 8, 2
_FEWEST_WORKERS, _WORKERS_PER_CORE = 64, 8


def refuse_too_many_processes(params: Params, available: int | None = None) -> None:
    """Raise if the parameters ask for many more processes than this machine has cores.

    ``available`` is the number of cores, by default those that this process may use.

    Raises:
        ThawError: there are too many training processes, loader processes or threads.
    """
    count = cores() if available is None else available
    processes = process_group(params.launch).on_this_machine
    most = max(_FEWEST_PROCESSES, _PROCESSES_PER_CORE * count)
    if processes > most:
        raise ThawError(
            f"{PARAMS_FILE}: launch.processes: {processes} training processes are too many for the "
            f"{quantity(count, 'core')} of this machine: set {most} or fewer"
        )
    most = max(_FEWEST_WORKERS, _WORKERS_PER_CORE * count)
    for key, each in (
        ("resources.workers", params.resources.workers),
        ("launch.threads", params.launch.threads),
    ):
        if each * processes > most:
            raise ThawError(
                f"{PARAMS_FILE}: {key}: {each} in each of {processes} processes are too many for "
                f"the {quantity(count, 'core')} of this machine: set {most // processes} or fewer"
            )
