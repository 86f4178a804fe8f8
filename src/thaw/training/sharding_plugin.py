"""Sharded training in Accelerate: its plugin, and the check that it has an effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from thaw.errors import ThawError

if TYPE_CHECKING:
    from accelerate import Accelerator


def sharding_plugin() -> FullyShardedDataParallelPlugin:
    """Return what tells Accelerate that the processes divide the weights (FSDP2)."""
    return FullyShardedDataParallelPlugin(fsdp_version=2, cpu_ram_efficient_loading=False)


def refuse_without_sharding(accelerator: Accelerator) -> None:
    """Raise if weights cannot be divided among the processes of ``accelerator``.

    On GPUs, Accelerate must have taken the plugin. It ignores it silently for processes of other
    kinds, for example those on a CPU; there, thaw divides without it.

    Raises:
        ThawError: one process runs, or Accelerate ignored the plugin.
    """
    if accelerator.num_processes == 1:
        raise ThawError(
            "params.yaml: launch.shard is on, which divides the weights among several processes, "
            "but one runs: set launch.processes to 2 or more, or launch.shard to off"
        )
    kind = accelerator.distributed_type
    if accelerator.device.type != "cpu" and kind != DistributedType.FSDP:
        raise ThawError(
            "params.yaml: launch.shard is on, but Accelerate started the processes as "
            f"{kind.value}, so that each would train the whole network: set launch.shard to off"
        )
