"""The classifiers of torchvision as chains, a few lines for each family."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from thaw.model.block_chain import Chain, CutError, InputSettings, LinearStep, average_pool
from thaw.model.published_weights import PublishedWeights, is_in_torch_cache
from thaw.system.deferred_compiler import compiler_deferred

with compiler_deferred():
    from torchvision import models

_PATTERNS = [
    "alexnet", "convnext*", "densenet*", "efficientnet*", "googlenet", "inception_v3", "mnasnet*",
    "mobilenet*", "regnet*", "resnet*", "resnext*", "shufflenet*", "swin*", "vgg*", "wide_resnet*",
]  # fmt: skip


def names() -> list[str]:
    """Return the names of the networks that can be cut."""
    listed: list[str] = models.list_models(module=models, include=_PATTERNS)
    return listed


def exists(model: str) -> bool:
    """Return whether torchvision has a classifier of this name."""
    return model in models.list_models(module=models)


def create(model: str, tag: str | None) -> tuple[nn.Module, InputSettings]:
    """Return ``model`` with the pretrained weights ``tag`` ("" is the default, None is none).

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
        # Their pretrained weights need it; for other weights it makes no difference.
        options = {"transform_input": True, "init_weights": False}
        if tag is None:
            options["aux_logits"] = False
    network = models.get_model(model, weights=weights if tag is not None else None, **options)
    preset = weights.transforms()
    input_settings = InputSettings(
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation="bicubic" if preset.interpolation.value == "bicubic" else "bilinear",
        image_size=preset.crop_size[0],
    )
    return network, input_settings


def published_weights(model: str) -> PublishedWeights:
    """Return the default weights of ``model``."""
    weights = models.get_model_weights(model)["DEFAULT"]
    return PublishedWeights(weights.transforms().crop_size[0], is_in_torch_cache(weights.url))


def chain(network: Any) -> Chain:
    """Return the parts of ``network`` in the order in which it runs them.

    Raises:
        CutError: the family of the network is unknown here.
    """
    match network:
        case models.AlexNet() | models.VGG() | models.MobileNetV3():
            *hidden, last = network.classifier
            steps = [*network.features, network.avgpool, *_on_maps(hidden)]
            return Chain(steps, nn.Flatten(1), last)
        case models.GoogLeNet() | models.Inception3():
            return Chain(
                [InceptionNormalization(), *_in_order(network)], average_pool(), network.fc
            )
        case models.ResNet() | models.ShuffleNetV2():
            return Chain(_in_order(network), average_pool(), network.fc)
        case models.DenseNet():
            return Chain([*network.features, nn.ReLU()], average_pool(), network.classifier)
        case models.MobileNetV2() | models.EfficientNet():
            return Chain([*network.features], average_pool(), network.classifier[1])
        case models.MNASNet():
            return Chain([*network.layers], average_pool(), network.classifier[1])
        case models.ConvNeXt():
            norm, _, last = network.classifier
            return Chain([*network.features, network.avgpool, norm], nn.Flatten(1), last)
        case models.RegNet():
            return Chain([network.stem, *network.trunk_output], average_pool(), network.fc)
        case models.SwinTransformer():
            pool = nn.Sequential(network.permute, network.avgpool, network.flatten)
            return Chain([*network.features, network.norm], pool, network.head, "NHWC")
        case _:
            raise CutError("thaw does not know this family of torchvision's networks")


class InceptionNormalization(nn.Module):
    """Convert images from ImageNet's normalisation to the range -1..1 of Inception's weights.

    torchvision does this inside the network if it is pretrained (``transform_input``).
    """

    def forward(self, images: Tensor) -> Tensor:
        """Return the converted images (N, 3, S, S)."""
        usual = InputSettings()
        mean, std = (images.new_tensor(part).view(1, 3, 1, 1) for part in (usual.mean, usual.std))
        return (images * std + mean - 0.5) / 0.5


def _on_maps(layers: list[nn.Module]) -> list[nn.Module]:
    return [LinearStep(layer) if isinstance(layer, nn.Linear) else layer for layer in layers]


def _in_order(network: nn.Module) -> list[nn.Module]:
    """Return all parts up to the last map, without the auxiliary heads of Inception."""
    dropped = {"aux1", "aux2", "AuxLogits", "avgpool", "dropout", "fc"}
    return [part for name, part in network.named_children() if name not in dropped]
