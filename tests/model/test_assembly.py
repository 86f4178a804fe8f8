from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from tests import settings, tiny
from thaw.errors import ThawError
from thaw.model import zoo
from thaw.model.assembly import assemble, first_blocks

if TYPE_CHECKING:
    from thaw.model.classifier import Classifier

SIZE = 16


def backbone() -> zoo.Backbone:
    model = tiny.classifier()
    return zoo.Backbone(
        name="tiny",
        blocks=list(model.blocks),
        pool=model.pool,
        features=16,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        interpolation="bilinear",
        layout="NCHW",
    )


def classifier(*taps: int) -> Classifier:
    config = settings.head_spec(taps=list(taps))
    return assemble(backbone(), config, 3, image_size=SIZE).eval()


def images() -> Tensor:
    return torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def width(model: Classifier) -> int:
    (layer,) = (module for module in model.head.modules() if isinstance(module, nn.Linear))
    return layer.in_features


@pytest.mark.parametrize(
    ("taps", "blocks", "features"),
    [
        ((), 3, 16),
        ((3,), 3, 16),
        ((1, 3), 3, 8 + 16),
        ((3, 1, 2, 3), 3, 8 + 8 + 16),
        ((2,), 2, 8),
        ((1, 2), 2, 8 + 8),
        ((1,), 1, 8),
    ],
)
def test_the_head_reads_what_is_tapped(taps: tuple[int, ...], blocks: int, features: int) -> None:
    model = classifier(*taps)
    assert len(model.blocks) == blocks  # what nothing reads is left out
    assert width(model) == features
    with torch.no_grad():
        read = model.part(0, len(model.blocks))(images())
        whole = [backbone().blocks[index] for index in range(3)]
        expected, outputs = [], images()
        for number, block in enumerate(whole, start=1):
            outputs = block(outputs)
            if number in (taps or (3,)):
                expected.append(outputs.mean((2, 3)))
    assert torch.equal(read, torch.cat(expected, dim=1))
    assert model(images()).shape == (4, 3)


@pytest.mark.parametrize("taps", [(), (1, 3), (2, 3), (1, 2)])
def test_a_cut_does_not_change_the_logits_of_a_tapped_model(taps: tuple[int, ...]) -> None:
    model = classifier(*taps)
    nn.init.normal_(next(model.head.parameters()))
    with torch.no_grad():
        for wanted in range(len(model.blocks) + 1):
            cut = model.outline.readable(wanted)
            assert cut <= wanted
            found = model.part(cut)(model.part(0, cut)(images()))
            assert torch.equal(found, model(images()))


def test_every_tapped_block_gets_gradients() -> None:
    model = classifier(1, 3)
    nn.init.normal_(next(model.head.parameters()))
    model(images()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_a_tap_beyond_the_backbone_is_refused() -> None:
    with pytest.raises(ThawError, match=r"head\.taps: 4 is beyond the backbone's 3 blocks"):
        classifier(2, 4)


def test_the_first_blocks_are_pooled_by_averaging() -> None:
    cut = first_blocks(backbone(), 2, SIZE)
    assert (len(cut.blocks), cut.features) == (2, 8)
    assert first_blocks(backbone(), 3, SIZE).features == 16
