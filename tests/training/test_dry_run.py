from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.model import zoo
from thaw.model.assembly import assemble
from thaw.model.freeze_plan import last_blocks
from thaw.model.freezing import apply_plan
from thaw.model.head import HeadSpec
from thaw.training import dry_run as module
from thaw.training.dry_run import dry_run

if TYPE_CHECKING:
    from torch import Tensor

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


def on_gpus(monkeypatch: pytest.MonkeyPatch, count: int = 1, memory: int = 2**40) -> None:
    """Let the machine have GPUs of this memory in bytes."""

    class Gpu:
        total_memory = memory

    monkeypatch.setattr(module, "gpu_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Gpu)


@pytest.mark.parametrize("shard", ["off", "on"])
def test_a_model_that_only_fits_into_several_gpus_is_accepted_if_it_is_divided(
    monkeypatch: pytest.MonkeyPatch, shard: str
) -> None:
    on_gpus(monkeypatch, 2, int(4e9))
    launch = {"processes": 2, "shard": shard}
    # A head of 330 million weights: with gradients and moments 6.6 GB, and 3.3 GB for each of two.
    chosen = params(head={"hidden": [65536, 5000]}, launch=launch)
    if shard == "on":
        assert dry_run(chosen) is not None
    else:
        with pytest.raises(ThawError, match=r"warmup_head needs 6\.\d GB"):
            dry_run(chosen)


@pytest.mark.parametrize("name", ["timm/test_efficientnet", "timm/test_vit"])
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_backward_pass_keeps_what_is_estimated_or_more(
    monkeypatch: pytest.MonkeyPatch, name: str, precision: str
) -> None:
    on_gpus(monkeypatch)

    def memory(batch_size: int) -> float:
        found = dry_run(
            params(
                backbone={"name": name, "image_size": 64},
                unfreeze={"depth": 4, "batch_size": batch_size, "batch_norm": "frozen"},
                launch={"precision": precision},
            )
        )
        assert found is not None
        return found.memory

    kept = kept_bytes(name, 8, precision) - kept_bytes(name, 4, precision)
    image = 4 * 3 * 64 * 64
    assert (memory(2**16) - memory(2**15)) / 2**15 <= kept / 4 + image


def kept_bytes(name: str, images: int, precision: str) -> float:
    """Return the bytes that autograd keeps of a pass, of which the last 4 blocks train."""
    model = assemble(zoo.build(name), HeadSpec(), 2, image_size=64)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    apply_plan(model, last_blocks(4, len(model.blocks)))
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # an address is used again when its tensor is gone

    def keep(tensor: Tensor) -> Tensor:
        alive.append(tensor)
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autocast("cpu", torch.bfloat16, enabled=precision == "auto"),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        outputs = model.train()(torch.zeros(images, 3, 64, 64))
    assert outputs.requires_grad
    return sum(kept.values())


def test_scoring_needs_the_memory_of_one_image_on_a_gpu_where_less_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sections = {"backbone": {"image_size": 1024}, "unfreeze": {"depth": 0}}
    on_gpus(monkeypatch, memory=int(3e9))
    assert dry_run(params(**sections)) is not None
    monkeypatch.setattr(module, "total_memory", lambda: int(3e9))
    monkeypatch.setattr(module, "gpu_count", lambda: 0)  # where the kernel ends the process
    with pytest.raises(ThawError, match=r"scoring needs"):
        dry_run(params(**sections))
