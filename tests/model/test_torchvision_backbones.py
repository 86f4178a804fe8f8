from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from thaw.model import torchvision_backbones
from thaw.model.block_chain import CutError
from thaw.model.torchvision_backbones import InceptionNormalization


def test_every_listed_name_exists() -> None:
    names = torchvision_backbones.names()
    assert "resnet18" in names
    assert all(torchvision_backbones.exists(name) for name in names)


def test_a_classifier_that_cannot_be_cut_exists_but_is_not_listed() -> None:
    assert torchvision_backbones.exists("squeezenet1_1")
    assert "squeezenet1_1" not in torchvision_backbones.names()
    assert not torchvision_backbones.exists("resnet19")


def test_the_input_settings_are_those_of_the_default_weights() -> None:
    with torch.device("meta"):
        _, inputs = torchvision_backbones.create("inception_v3", None)
    assert (inputs.image_size, inputs.interpolation) == (299, "bilinear")
    assert inputs.mean == (0.485, 0.456, 0.406)


def test_an_unknown_tag_of_weights_is_refused_with_the_known_tags() -> None:
    with pytest.raises(RuntimeError, match=r"no weights IMAGENET9, but IMAGENET1K_V1"):
        torchvision_backbones.create("resnet18", "IMAGENET9")


def test_the_chain_of_a_residual_network_ends_before_its_pool() -> None:
    with torch.device("meta"):
        network = models.resnet18()
    chain = torchvision_backbones.chain(network)
    assert chain.steps[-1] is network.layer4
    assert chain.last is network.fc
    assert (chain.features, chain.layout) == (512, "NCHW")


def test_a_network_of_an_unknown_family_is_refused() -> None:
    with pytest.raises(CutError, match="does not know this family"):
        torchvision_backbones.chain(nn.Linear(1, 1))


def test_inception_normalization_maps_imagenets_normalisation_to_minus_one_to_one() -> None:
    pixels = torch.rand(2, 3, 4, 4)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    found = InceptionNormalization()((pixels - mean) / std)
    torch.testing.assert_close(found, pixels * 2 - 1)
