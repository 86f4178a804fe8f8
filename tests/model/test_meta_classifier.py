from __future__ import annotations

import pytest
import torch

from tests import settings
from thaw.errors import ThawError
from thaw.model import zoo
from thaw.model.assembly import assemble
from thaw.model.meta_classifier import count_weights, meta_backbone, meta_classifier, output_sizes

NAMES = ("lenet5", "timm/test_efficientnet", "timm/test_vit", "torchvision/resnet18")


@pytest.mark.parametrize("name", NAMES)
def test_the_outline_has_the_shapes_of_the_network_and_no_values(name: str) -> None:
    spec = settings.head_spec(hidden=[8], taps=[2, 4])
    size = 160 if "vit" in name else 64
    outline = meta_classifier(meta_backbone(name), spec, 3, size)
    real = assemble(zoo.build(name), spec, 3, image_size=size)
    assert all(parameter.is_meta for parameter in outline.parameters())
    assert {key: value.shape for key, value in outline.state_dict().items()} == {
        key: value.shape for key, value in real.state_dict().items()
    }
    assert count_weights(outline) == sum(p.numel() for p in real.parameters())
    assert outline(torch.zeros(2, 3, size, size, device="meta")).shape == (2, 3)


def test_the_outputs_of_every_layer_count() -> None:
    outline = meta_classifier(meta_backbone("lenet5"), settings.head_spec(), 3, 32)
    sizes = output_sizes(outline, 32)
    assert len(sizes) == len(outline.blocks)
    assert all(0 < block.largest <= block.total for block in sizes)
    larger = output_sizes(
        meta_classifier(meta_backbone("torchvision/resnet18"), settings.head_spec(), 3, 64), 64
    )
    smaller = output_sizes(
        meta_classifier(meta_backbone("torchvision/resnet18"), settings.head_spec(), 3, 32), 32
    )
    assert larger[0].total == 4 * smaller[0].total


@pytest.mark.parametrize(
    ("name", "size", "taps", "reason"),
    [
        ("timm/nothing", 64, [], "backbone.name: timm/nothing is unknown"),
        ("nothing", 64, [], "must be timm/NAME"),
        (
            "torchvision/alexnet",
            32,
            [],
            "image_size: .*does not accept images of 32 pixels.*made for 224",
        ),
        ("timm/test_vit", 65, [], "image_size: .*does not accept images of 65 pixels"),
        ("lenet5", 32, [9], "head.taps: 9 is beyond the backbone's 4 blocks"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(
    name: str, size: int, taps: list[int], reason: str
) -> None:
    with pytest.raises(ThawError, match=reason):
        meta_classifier(meta_backbone(name), settings.head_spec(taps=taps), 3, size)


@pytest.mark.soak
@pytest.mark.parametrize("name", zoo.names())
def test_networks_of_the_list_can_be_outlined_at_a_size_that_they_accept(name: str) -> None:
    refusal = ""
    try:
        meta_classifier(meta_backbone(name), settings.head_spec(), 3, 224)
    except ThawError as error:
        refusal = str(error)
    assert not refusal or "pixels" in refusal
