"""The list of backbones: names, sizes, and where the weights are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from thaw.model import backbone_catalogue

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_text_matches_a_part_of_the_name_and_a_pattern_the_whole_name() -> None:
    assert "timm/resnet50d" in backbone_catalogue.find("resnet50")
    assert backbone_catalogue.find("torchvision/resnet?8") == ["torchvision/resnet18"]


def test_upper_and_lower_case_do_not_differ() -> None:
    assert backbone_catalogue.find("ResNet50") == backbone_catalogue.find("resnet50")
    assert backbone_catalogue.find("TorchVision/ResNet?8") == ["torchvision/resnet18"]


def test_sizes_are_those_of_the_blocks_without_the_classifier() -> None:
    entry = backbone_catalogue.describe("torchvision/resnet18", with_sizes=True)
    assert (entry.parameters, entry.blocks) == (11_689_512 - 513_000, 5)


def test_weights_in_the_cache_of_torch_are_on_this_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    before = backbone_catalogue.describe("torchvision/resnet18", with_sizes=False)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/resnet18-f37072fd.pth").touch()
    after = backbone_catalogue.describe("torchvision/resnet18", with_sizes=False)
    assert (before.weights, after.weights) == (backbone_catalogue.DOWNLOAD, backbone_catalogue.HERE)


def test_networks_without_published_weights_are_named_so() -> None:
    names = ["lenet5", "timm/efficientnet_lite1"]
    named = [backbone_catalogue.describe(name, with_sizes=False) for name in names]
    assert [entry.weights for entry in named] == [backbone_catalogue.NONE, backbone_catalogue.NONE]
