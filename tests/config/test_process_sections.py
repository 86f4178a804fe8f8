from __future__ import annotations

from typing import Any

import pytest

from tests.config.value_check import check_values
from thaw.config.params import Params
from thaw.config.process_sections import Launch
from thaw.config.result_values import result_values


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        ("launch.processes", [1, 1024, "auto"], [0, 1025, "all"]),
        ("launch.threads", [0, 1024], [-1, 1025]),
        ("launch.accumulate", [1, 65_536, "auto"], [0, 65_537, "all"]),
        ("launch.compile", ["auto", "on", "off"], [True, "yes"]),
        ("launch.shard", ["off", "on"], [True, "auto"]),
        ("launch.precision", ["auto", "fp32", "tf32", "bf16", "fp16"], ["no", "fp8", 16]),
        ("resources.workers", [0, 256], [-1, 257]),
        ("resources.checkpoint_minutes", [0.1], [0.0, 1e9]),
        ("resources.cache_gb", [0.0, 1000.0], [-1.0, 1e9]),
    ],
)
def test_values_that_memory_or_time_do_not_allow_are_refused(
    key: str, accepted: list[Any], refused: list[Any]
) -> None:
    check_values(key, accepted, refused)


def test_launch_can_change_a_result_and_resources_cannot() -> None:
    params = Params.model_validate({"launch": {"threads": 2}, "resources": {"workers": 2}})
    assert result_values(params) == {"launch.threads": 2}


def test_verbs_and_workers_run_on_one_machine() -> None:
    launch = Launch(processes="auto", config="cluster.yaml", threads=2)
    assert launch.of_verb() == Launch(processes=1, threads=2)
    assert launch.of_worker() == Launch(processes=1, threads=2)
    assert Launch(processes=4).of_worker() == Launch(processes=4)
    assert Launch(processes=4).of_verb() == Launch()
