from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from thaw.errors import ThawError
from thaw.model import timm_backbones
from thaw.model.block_chain import CutError
from thaw.model.unallocated import build_unallocated


def test_listed_names_exist_and_are_not_of_two_classifiers() -> None:
    names = timm_backbones.names()
    assert {"tf_efficientnet_lite0", "test_vit"} <= set(names)
    assert all(timm_backbones.exists(name) for name in names[::50])
    assert not any("distilled" in name for name in names)


def test_networks_with_a_classifier_of_two_layers_are_not_listed() -> None:
    names = timm_backbones.names()
    assert not any(name.startswith(("caformer_", "convformer_")) for name in names)
    assert "poolformerv2_s12" in names


def test_a_name_may_include_the_tag_of_its_weights() -> None:
    assert timm_backbones.exists("test_vit.r160_in1k")
    assert not timm_backbones.exists("test_vitt")


def test_the_input_settings_are_those_of_the_network() -> None:
    _, inputs = timm_backbones.create("tf_efficientnet_lite0", None)
    assert inputs.mean == (0.5, 0.5, 0.5)
    assert (inputs.image_size, inputs.interpolation) == (224, "bicubic")


def test_the_stem_and_the_blocks_of_a_transformer_compute_its_features() -> None:
    network, _ = timm_backbones.create("test_vit", None)
    network.eval()
    chain = timm_backbones.chain(network)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        tokens = images
        for step in chain.steps:
            tokens = step.eval()(tokens)
        expected = network.forward_features(images)  # type: ignore[operator]
    assert chain.layout == "NLC"
    torch.testing.assert_close(tokens, expected)


def test_the_chain_of_a_convolutional_network_has_one_step_per_stage() -> None:
    with torch.device("meta"):
        network = timm.create_model("test_efficientnet")
    chain = timm_backbones.chain(network)
    assert all(stage in chain.steps for stage in network.blocks)
    assert chain.last is network.classifier
    assert (chain.features, chain.layout) == (256, "NCHW")


def test_a_top_with_weights_is_a_step_whose_output_has_the_layout_of_a_block() -> None:
    with torch.device("meta"):
        network = timm.create_model("test_vit3")
        chain = timm_backbones.chain(network)
        assert isinstance(chain.steps[-1], timm_backbones.Shaped)
        assert isinstance(chain.pool, nn.Flatten)


def test_a_network_without_exactly_one_classifier_is_refused() -> None:
    with pytest.raises(CutError, match="exactly one classifier"):
        timm_backbones.chain(nn.Linear(1, 1))


def test_every_network_of_timm_that_cannot_be_cut_says_so() -> None:
    encoders = timm.list_models("*_enc")  # of models for text and images; they classify nothing
    assert encoders
    for name in encoders:
        with pytest.raises(ThawError, match=r"cannot be cut .* exactly one classifier"):
            build_unallocated(f"timm/{name}")


def test_a_block_with_rotary_positions_accepts_any_square_image() -> None:
    network, _ = timm_backbones.create("eva02_tiny_patch14_224", None)
    network.eval()
    chain = timm_backbones.chain(network)
    for side in (56, 112):
        images = torch.randn(2, 3, side, side)
        with torch.no_grad():
            tokens = images
            for step in chain.steps[:-1]:  # the last one pools
                tokens = step.eval()(tokens)
            expected = network.forward_features(images)  # type: ignore[operator]
        torch.testing.assert_close(tokens, expected)


def test_learned_positions_that_all_blocks_share_are_refused_and_not_listed() -> None:
    with torch.device("meta"):
        network = timm.create_model("vit_small_patch16_rope_mixed_224")
        with pytest.raises(CutError, match="share the learned frequencies"):
            timm_backbones.chain(network)
    assert "vit_small_patch16_rope_mixed_224" not in timm_backbones.names()


def test_layers_between_the_pool_and_the_classifier_stay_in_the_chain() -> None:
    with torch.device("meta"):
        network = timm.create_model("efficientvit_m0")
        chain = timm_backbones.chain(network)
        scale = network.head.bn.weight
    assert any(parameter is scale for parameter in chain.steps[-1].parameters())
