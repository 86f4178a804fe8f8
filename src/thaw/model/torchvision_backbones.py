"""torchvision's classifiers as chains, a few lines a family."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchvision import models

from thaw.model.block_chain import Chain, CutError, Dense, Normal, average

_PATTERNS = [
    "alexnet", "convnext*", "densenet*", "efficientnet*", "googlenet", "inception_v3", "mnasnet*",
    "mobilenet*", "regnet*", "resnet*", "resnext*", "shufflenet*", "swin*", "vgg*", "wide_resnet*",
]  # fmt: skip


def names() -> list[str]:
    """The networks that can be cut."""
    listed: list[str] = models.list_models(module=models, include=_PATTERNS)
    return listed


def exists(model: str) -> bool:
    """Whether torchvision has a classifier of this name."""
    return model in models.list_models(module=models)


def create(model: str, tag: str | None) -> tuple[nn.Module, Normal]:
    """``model`` with the pretrained weights ``tag`` ("": the library's default; None: none).

    Raises:
        OSError: the weights cannot be downloaded.
        RuntimeError: torchvision has no such weights.
    """
    known = models.get_model_weights(model)
    if tag and tag not in known.__members__:
        raise RuntimeError(f"it has no weights {tag}, but {', '.join(known.__members__)}")
    weights = known[tag or "DEFAULT"]
    options: dict[str, Any] = {}
    if model in {"googlenet", "inception_v3"}:
        # Their pretrained weights want it, and to those that are made here it does not matter.
        options = {"transform_input": True, "init_weights": False}
        if tag is None:
            options["aux_logits"] = False
    network = models.get_model(model, weights=weights if tag is not None else None, **options)
    preset = weights.transforms()
    normal = Normal(
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation="bicubic" if preset.interpolation.value == "bicubic" else "bilinear",
        image_size=preset.crop_size[0],
    )
    return network, normal


def chain(network: Any) -> Chain:
    """The parts of ``network`` in the order in which it runs them.

    Raises:
        CutError: its family is not known here.
    """
    match network:
        case models.AlexNet() | models.VGG() | models.MobileNetV3():
            *hidden, last = network.classifier
            steps = [*network.features, network.avgpool, *_on_maps(hidden)]
            return Chain(steps, nn.Flatten(1), last)
        case models.GoogLeNet() | models.Inception3():
            return Chain([ToHalves(), *_in_order(network)], average(), network.fc)
        case models.ResNet() | models.ShuffleNetV2():
            return Chain(_in_order(network), average(), network.fc)
        case models.DenseNet():
            return Chain([*network.features, nn.ReLU()], average(), network.classifier)
        case models.MobileNetV2() | models.EfficientNet():
            return Chain([*network.features], average(), network.classifier[1])
        case models.MNASNet():
            return Chain([*network.layers], average(), network.classifier[1])
        case models.ConvNeXt():
            norm, _, last = network.classifier
            return Chain([*network.features, network.avgpool, norm], nn.Flatten(1), last)
        case models.RegNet():
            return Chain([network.stem, *network.trunk_output], average(), network.fc)
        case models.SwinTransformer():
            pool = nn.Sequential(network.permute, network.avgpool, network.flatten)
            return Chain([*network.features, network.norm], pool, network.head, "NHWC")
        case _:
            raise CutError("torchvision's networks of this kind are not known to thaw")


class ToHalves(nn.Module):
    """ImageNet's normalisation -> values of -1..1, as Inception's weights want them.

    torchvision's networks do so themselves where they are pretrained (``transform_input``).
    """

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) -> the same shape."""
        usual = Normal()
        mean, std = (images.new_tensor(part).view(1, 3, 1, 1) for part in (usual.mean, usual.std))
        return (images * std + mean - 0.5) / 0.5


def _on_maps(layers: list[nn.Module]) -> list[nn.Module]:
    return [Dense(layer) if isinstance(layer, nn.Linear) else layer for layer in layers]


def _in_order(network: nn.Module) -> list[nn.Module]:
    """All but what follows the last map, and Inception's auxiliary heads, which only train."""
    dropped = {"aux1", "aux2", "AuxLogits", "avgpool", "dropout", "fc"}
    return [part for name, part in network.named_children() if name not in dropped]
