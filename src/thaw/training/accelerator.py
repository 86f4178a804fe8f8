"""Start Accelerate in the processes of a stage."""

from __future__ import annotations

from datetime import timedelta

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from thaw.training.sharding_plugin import sharding_plugin

# How long a process waits for the others. NCCL's default of 10 minutes would end a training in
# which the first process compares heads, waits for a file that another command computes, or for a
# server. If a process ends, the launcher ends the others at once.
_LONGEST_WAIT = timedelta(hours=12)


def new_accelerator(*, has_gpu: bool, shards: bool) -> Accelerator:
    """Return the accelerator of this process, which meets the other processes of its stage.

    Precision is thaw's own: what a configuration file or a variable says does not count.
    """
    return Accelerator(
        cpu=not has_gpu,
        mixed_precision="no",
        fsdp_plugin=sharding_plugin() if shards and has_gpu else None,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_LONGEST_WAIT)],
    )
