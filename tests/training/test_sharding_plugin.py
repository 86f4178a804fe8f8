from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.utils import DistributedType

from thaw.errors import ThawError
from thaw.training.sharding_plugin import refuse_without_sharding, sharding_plugin


def started(kind: DistributedType, device: str = "cuda", processes: int = 2) -> Any:
    return SimpleNamespace(
        distributed_type=kind, device=torch.device(device), num_processes=processes
    )


def test_the_plugin_is_that_of_fsdp2() -> None:
    plugin = sharding_plugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True


@pytest.mark.parametrize("kind", [DistributedType.MULTI_GPU, DistributedType.NO])
def test_gpus_on_which_accelerate_ignored_the_plugin_are_refused(kind: DistributedType) -> None:
    with pytest.raises(ThawError, match=f"launch.shard is on, but Accelerate .* as {kind.value}"):
        refuse_without_sharding(started(kind))


def test_one_process_cannot_divide_the_weights() -> None:
    with pytest.raises(ThawError, match=r"launch\.shard is on, .* but one runs"):
        refuse_without_sharding(started(DistributedType.NO, processes=1))


@pytest.mark.parametrize(
    ("kind", "device"), [(DistributedType.FSDP, "cuda"), (DistributedType.MULTI_CPU, "cpu")]
)
def test_processes_that_can_divide_the_weights_are_accepted(
    kind: DistributedType, device: str
) -> None:
    refuse_without_sharding(started(kind, device))
