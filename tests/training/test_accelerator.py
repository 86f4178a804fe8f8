from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests import tiny
from thaw.training import accelerator as module
from thaw.training.accelerator import new_accelerator


def test_processes_wait_for_each_other_longer_than_a_comparison_takes() -> None:
    handler = tiny.runtime().accelerator.init_handler
    assert handler is not None
    assert handler.timeout == timedelta(hours=12)


def test_the_precision_is_left_to_thaw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert new_accelerator(has_gpu=False, shards=False).mixed_precision == "no"


@pytest.mark.parametrize(
    ("has_gpu", "shards", "expected"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_accelerate_gets_the_plugin_where_gpus_divide_the_weights(
    has_gpu: bool, shards: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def accelerator(**options: Any) -> None:
        given.append(options["fsdp_plugin"])

    monkeypatch.setattr(module, "Accelerator", accelerator)
    new_accelerator(has_gpu=has_gpu, shards=shards)
    assert (given[0] is not None) is expected
