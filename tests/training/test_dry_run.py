from __future__ import annotations

from typing import Any

import pytest
import torch

from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.training import dry_run as module
from thaw.training.dry_run import dry_run

TINY: dict[str, Any] = {"backbone": {"name": "timm/test_efficientnet", "image_size": 32}}


def params(**sections: dict[str, Any]) -> Params:
    merged = {key: {**TINY.get(key, {}), **sections.get(key, {})} for key in {*TINY, *sections}}
    return Params.model_validate(merged)


def test_a_model_that_can_be_trained_is_described() -> None:
    found = dry_run(params(unfreeze={"depth": 3}), classes=5)
    assert found is not None
    assert found.blocks == 7
    assert 1e5 < found.weights < 1e7
    assert 1e6 < found.memory < 1e9


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"unfreeze": {"depth": 8}}, r"unfreeze\.depth: 8 is more than the backbone's 7 blocks"),
        ({"unfreeze": {"blocks": [2, 9]}}, r"unfreeze\.blocks: there is no block 9"),
        ({"head": {"taps": [12]}}, r"head\.taps: 12 is beyond"),
        ({"backbone": {"name": "timm/test_vit", "image_size": 65}}, r"accept .* 65 pixels"),
        (
            {"unfreeze": {"depth": 7, "batch_norm": "train", "batch_size": 1}},
            r"unfreeze\.batch_size: a step has one image per process",
        ),
        (
            {"unfreeze": {"depth": 7, "batch_norm": "train", "batch_size": 2},
             "launch": {"processes": 2}},
            r"set unfreeze\.batch_size to 4 or more",
        ),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_trained_is_refused(
    sections: dict[str, dict[str, Any]], reason: str
) -> None:
    with pytest.raises(ThawError, match=reason):
        dry_run(params(**sections))


@pytest.mark.parametrize(
    "settings",
    [
        {"depth": 7, "batch_norm": "frozen", "batch_size": 1},
        {"depth": 7, "batch_norm": "auto", "batch_size": 1},
        {"depth": 0, "batch_norm": "train", "batch_size": 1},
        {"depth": 7, "batch_norm": "train", "batch_size": 1, "epochs": 0},
    ],
)
def test_a_step_of_one_image_is_accepted_where_it_can_be_normalised(
    settings: dict[str, Any],
) -> None:
    assert dry_run(params(unfreeze=settings)) is not None


@pytest.mark.parametrize(
    ("sections", "stage", "key"),
    [
        ({"backbone": {"image_size": 4096}}, "scoring", "image_size"),
        ({"unfreeze": {"depth": 7, "batch_size": 65536}}, "unfreeze", r"unfreeze\.batch_size"),
        ({"head": {"hidden": [65536, 5000]}}, "warmup_head", r"head\.hidden"),
    ],
)
def test_a_model_that_does_not_fit_into_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch, sections: dict[str, dict[str, Any]], stage: str, key: str
) -> None:
    monkeypatch.setattr(module, "total_memory", lambda: int(4e9))
    monkeypatch.setattr(module, "gpu_count", lambda: 0)
    with pytest.raises(ThawError, match=rf"{stage} needs .* has 4\.0 GB: lower .*{key}"):
        dry_run(params(**sections))


def test_cuda_does_not_start_for_a_model_that_fits_into_every_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    class Small:
        total_memory = int(4e9)

    def properties(device: int) -> type[Small]:
        asked.append(device)
        return Small

    monkeypatch.setattr(module, "gpu_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    assert dry_run(params(unfreeze={"depth": 3})) is not None
    assert asked == []
    with pytest.raises(ThawError, match=r"unfreeze needs .* this GPU has 4\.0 GB"):
        dry_run(params(unfreeze={"depth": 7, "batch_size": 65536}))
    assert asked == [0]


def test_the_memory_grows_with_the_batch_and_the_depth() -> None:
    def memory(**settings: Any) -> float:
        found = dry_run(params(unfreeze={"batch_size": 4096, **settings}))
        assert found is not None
        return found.memory

    assert memory(depth=2) < memory(depth=7) < memory(depth=7, batch_size=8192)


@pytest.mark.parametrize("parts", [1024, "auto"])
def test_a_batch_that_is_computed_in_parts_needs_the_memory_of_a_part(
    monkeypatch: pytest.MonkeyPatch, parts: int | str
) -> None:
    monkeypatch.setattr(module, "total_memory", lambda: int(4e9))
    monkeypatch.setattr(module, "gpu_count", lambda: 0)
    unfreeze = {"depth": 7, "batch_size": 65536, "batch_norm": "frozen"}
    assert dry_run(params(unfreeze=unfreeze, launch={"accumulate": parts})) is not None
