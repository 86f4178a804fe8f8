from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import settings
from thaw.config.parameter_values import with_values
from thaw.data.manifest import Row
from thaw.stages.pack_side_check import lost_detail
from thaw.system import network_sides
from thaw.system.network_sides import NetworkSides

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.params import Params

NAME = "timm/tf_efficientnet_lite0"
AUTO = {
    "prepare.short_side": 256,
    "backbone.name": NAME,
    "backbone.weights": "packaged",
    "backbone.image_size": "auto",
    "backbone.framing": "auto",
    "backbone.crop_pct": 1.0,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network_sides.record(NAME, NetworkSides(224, 352))


def rows(*sizes: tuple[int, int]) -> list[Row]:
    """Return images of (width, height)."""
    return [
        Row(id=number, path=f"{number}", digest="", label="a", split="train", width=w, height=h)
        for number, (w, h) in enumerate(sizes)
    ]


def params(**changes: Any) -> Params:
    values = {key.replace("__", "."): value for key, value in changes.items()}
    return with_values(settings.PARAMS, AUTO | values)


def test_the_largest_size_that_is_compared_needs_a_larger_pack() -> None:
    (line,) = lost_detail(params(), rows((800, 600), (600, 800), (200, 100)))
    assert line == (
        "2 of 3 images are stored with a short side of 256 pixels (prepare.short_side) and are "
        "enlarged to the input of the network (backbone.image_size auto, which compares up to 352 "
        "pixels): set prepare.short_side to 352 to keep their detail"
    )
    assert lost_detail(params(prepare__short_side=352), rows((800, 600), (600, 800))) == []


def test_a_crop_with_a_margin_needs_more() -> None:
    (line,) = lost_detail(params(backbone__crop_pct=0.875), rows((800, 600)))
    assert "set prepare.short_side to 402" in line
    assert lost_detail(
        params(backbone__crop_pct=0.875, prepare__short_side=402), rows((800, 600))
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, (256, 256)),  # the pack has all of it
        ({}, (64, 64)),
        ({"backbone__weights": "none"}, (800, 600)),  # nothing is compared
        ({"backbone__name": "timm/resnet18"}, (800, 600)),  # of which nothing is known
        ({"backbone__framing": "pad", "prepare__short_side": 264}, (800, 600)),
        ({"backbone__image_size": 224}, (800, 600)),
    ],
)
def test_a_pack_that_suffices_gives_no_message(
    changes: dict[str, Any], size: tuple[int, int]
) -> None:
    assert lost_detail(params(**changes), rows(size)) == []


def test_a_network_that_accepts_one_size_needs_no_more() -> None:
    network_sides.record(NAME, NetworkSides(224, 224))
    assert lost_detail(params(), rows((800, 600))) == []


def test_given_values_are_named() -> None:
    (line,) = lost_detail(
        params(backbone__image_size=320, backbone__framing="crop"), rows((800, 600))
    )
    assert "(backbone.image_size 320, crop_pct 1, framing crop): set" in line
    (line,) = lost_detail(params(backbone__image_size=320), rows((800, 600)))
    assert "(backbone.image_size 320): set prepare.short_side to 320" in line
