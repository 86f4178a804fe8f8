from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from tests import settings
from tests.data.peak import rise
from tests.registry.served import model_directory
from thaw.errors import ThawError
from thaw.model import directory, unallocated, zoo
from thaw.model.assembly import assemble, first_blocks
from thaw.model.unallocated import allocate, build_unallocated, is_unallocated

if TYPE_CHECKING:
    from pathlib import Path

GIANT = "timm/vit_giant_patch14_dinov2"  # 1.1 billion weights
# Of each kind of module that computes buffers: position indexes, windows, rotary embeddings.
NAMES = (
    "lenet5", "torchvision/inception_v3", "torchvision/swin_t", "timm/test_efficientnet",
    "timm/swin_tiny_patch4_window7_224", "timm/swinv2_cr_tiny_224", "timm/beit_base_patch16_224",
    "timm/eva02_tiny_patch14_224", "timm/maxvit_nano_rw_256", "timm/resnest14d", "timm/nfnet_l0",
)  # fmt: skip


def modules(backbone: zoo.Backbone) -> nn.ModuleList:
    return nn.ModuleList([*backbone.blocks, backbone.pool])


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that are attributes of modules, neither parameters nor buffers."""
    return {
        f"{name}.{key}": value
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, Tensor)
    }


def check(name: str) -> None:
    built, real = modules(build_unallocated(name)), modules(zoo.build(name))
    allocated = [each for each in built.parameters() if not is_unallocated(each)]
    assert sum(parameter.numel() for parameter in allocated) < 1_000
    allocate(built)
    forms = [
        {
            key: (value.shape, value.stride(), value.dtype, value.device, value.requires_grad)
            for key, value in made.state_dict(keep_vars=True).items()
        }
        for made in (built, real)
    ]
    assert forms[0] == forms[1]
    assert len(list(built.parameters())) == len(list(real.parameters()))  # none is shared
    saved = real.state_dict().keys()
    expected = {**dict(real.named_buffers()), **own_tensors(real)}
    found = {**dict(built.named_buffers()), **own_tensors(built)}
    assert found.keys() == expected.keys()
    for key in expected.keys() - saved:
        assert torch.equal(found[key], expected[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_a_network_has_its_form_and_all_values_that_are_not_saved(name: str) -> None:
    check(name)


@pytest.mark.soak
@pytest.mark.parametrize("name", zoo.names())
def test_every_network_of_the_list_has_its_form_and_all_values_that_are_not_saved(
    name: str,
) -> None:
    if sum(parameter.numel() for parameter in modules(build_unallocated(name)).parameters()) < 4e8:
        check(name)  # compared with a network in memory


def test_a_block_of_a_giant_network_takes_the_memory_of_this_block(tmp_path: Path) -> None:
    size, blocks = 28, 1
    backbone = build_unallocated(GIANT)
    allocate(nn.ModuleList(backbone.blocks[:blocks]))
    kept = first_blocks(backbone, blocks, size)
    head = settings.head_spec(taps=[], hidden=[])
    classifier = assemble(kept, head, 3, image_size=size)
    for value in classifier.state_dict().values():
        value.zero_()
    spec = model_directory(tmp_path).model_copy(
        update={"backbone": GIANT, "blocks": blocks, "head": head, "folded": [], "merged": []}
    )
    spec = spec.model_copy(
        update={
            "classes": ["a", "b", "c"],
            "calibration": None,
            "preprocessing": spec.preprocessing.model_copy(update={"image_size": size}),
        }
    )
    directory.save(classifier, spec, tmp_path)
    stored = (tmp_path / directory.WEIGHTS).stat().st_size / 1e6
    assert rise(lambda: directory.load(tmp_path)) < 100 + 3 * stored  # megabytes


def test_a_small_file_that_names_a_giant_network_is_refused_before_it_is_built(
    tmp_path: Path,
) -> None:
    plain = model_directory(tmp_path)
    classifier, _ = directory.load(tmp_path)
    giant = plain.model_copy(update={"backbone": GIANT, "blocks": 42})
    directory.save(classifier, giant, tmp_path)

    def load() -> None:
        with pytest.raises(ThawError, match=r"41 blocks that it names have 1,\d+,\d+,\d+ weights"):
            directory.load(tmp_path)

    assert rise(load) < 300


def test_random_numbers_of_the_program_do_not_change() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build_unallocated("torchvision/swin_t")
    assert torch.equal(torch.rand(3), expected)


def test_modules_of_other_threads_and_later_ones_keep_their_values() -> None:
    made: list[nn.Linear] = []

    def make() -> None:
        made.append(nn.Linear(2, 2))

    with unallocated._parameters_unallocated():
        assert is_unallocated(nn.Linear(2, 2).weight)
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
    make()
    assert not any(is_unallocated(linear.weight) for linear in made)
    assert len(made) == 2


def test_after_an_error_parameters_have_values_again() -> None:
    with pytest.raises(ThawError, match="is unknown"):
        build_unallocated("timm/nothing")
    assert not is_unallocated(nn.Linear(2, 2).weight)
