"""Backbones by name: create the network, load its weights, and cut it into blocks.

The modules ``timm_backbones``, ``torchvision_backbones`` and ``lenet`` know the networks of their
library. Whenever weights are loaded, one image checks that the cut did not change the output.
"""

from __future__ import annotations

import difflib
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from thaw.errors import ThawError
from thaw.model import block_chain, initialization, lenet, weights
from thaw.model.block_chain import CutError
from thaw.model.weights import PACKAGED

if TYPE_CHECKING:
    from thaw.data.resizing import Interpolation
    from thaw.model.backbone_settings import BackboneSettings
    from thaw.model.block_chain import Chain, InputSettings
    from thaw.model.classifier import Layout

_OWN = "lenet5"


@dataclass(frozen=True)
class Backbone:
    """A network in blocks, and the input that its weights need."""

    name: str
    blocks: list[nn.Module]
    pool: nn.Module
    features: int
    layout: Layout
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Interpolation
    image_size: int = 224  # pixels; the side of the images that the weights were made for


def names() -> list[str]:
    """Return the names that :func:`build` accepts; some other networks of timm can be cut, too."""
    from thaw.model import timm_backbones, torchvision_backbones

    return [
        _OWN,
        *(f"torchvision/{model}" for model in torchvision_backbones.names()),
        *(f"timm/{model}" for model in timm_backbones.names()),
    ]


def build(name: str) -> Backbone:
    """Return the backbone in blocks with arbitrary weights, for weights that are loaded later.

    Raises:
        ThawError: the name is unknown, or the network cannot be cut.
    """
    with initialization.SkipInitialization():
        return _backbone(name, _create(name, tag=None))


def load(config: BackboneSettings, *, seed: int = 0) -> tuple[Backbone, str]:
    """Return the backbone with its weights, and their digest (SHA-256).

    ``config.weights`` is one of: ``packaged``; ``pretrained`` or the name of pretrained weights of
    the library; ``none`` for new weights, drawn as ``config.init``, ``config.gabor`` and ``seed``
    define; the path of a ``.safetensors`` or ``.pth`` file with the state dict of the network.

    Raises:
        ThawError: the name or the file is unknown, a download failed, the weights do not fit, the
            network cannot be cut, or it does not accept images of ``config.image_size``.
    """
    built = _from_scratch(config, seed) if config.weights == "none" else _with_weights(config)
    backbone = _backbone(config.name, built)
    _check_cut(config, built, backbone)
    return backbone, weights.digest(nn.ModuleList(backbone.blocks).state_dict())


@dataclass(frozen=True)
class _Network:
    network: nn.Module
    input_settings: InputSettings
    chain: Chain


def _with_weights(config: BackboneSettings) -> _Network:
    name, chosen = config.name, config.weights
    weights.refuse_foreign_package(name, chosen)
    is_file = chosen == "packaged" or weights.is_file(chosen)
    tag = None if is_file else chosen.replace("pretrained", "")
    with initialization.SkipInitialization():
        built = _create(name, tag)
    if is_file:
        read = weights.packaged(built.network) if chosen == "packaged" else weights.read(chosen)
        weights.assign(built.network, built.chain.last, read)
        # The head replaces the classifier of the network, but the check of the cut still uses it.
        for parameter in built.chain.last.parameters():
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    return built


def _from_scratch(config: BackboneSettings, seed: int) -> _Network:
    with initialization.seeded(seed):  # for the random numbers that the libraries draw
        built = _create(config.name, tag=None)
    initialization.scratch(built.network, config.init, seed)
    if config.gabor:
        try:
            initialization.gabor(built.network)
        except ValueError as error:
            raise ThawError(f"params.yaml: backbone.gabor: {config.name}: {error}") from error
    return built


def _create(name: str, tag: str | None) -> _Network:
    """Return the network and its chain; ``tag`` names pretrained weights, "" the default ones."""
    if name == _OWN:
        if tag is not None:
            raise ThawError(
                f"params.yaml: backbone.weights: {name} has no pretrained weights: use none, or "
                "the path of a file"
            )
        own = lenet.LeNet5()
        return _Network(own, lenet.INPUT_SETTINGS, lenet.chain(own))
    library, model = _library(name)
    if not library.exists(model):
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else "; see `thaw backbones`"
        raise ThawError(f"params.yaml: backbone.name: {name} is unknown{hint}")
    try:
        with weights.short_timeouts() if tag is not None else nullcontext():
            network, input_settings = library.create(model, tag)
    except OSError as error:  # both libraries raise it if a download fails
        raise ThawError(
            f"params.yaml: backbone.weights: the pretrained weights of {name} could not be "
            f"downloaded ({type(error).__name__}): give the path of a local file, or use "
            f"{PACKAGED} with weights: packaged, which needs no network"
        ) from error
    except (RuntimeError, ValueError) as error:  # unknown tag, or no weights for this name
        key = "weights" if tag else "name"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ThawError(f"params.yaml: backbone.{key}: {name}: {reason}") from error
    try:
        return _Network(network, input_settings, library.chain(network))
    except CutError as error:
        raise _uncut(name, network, error) from error


def _library(name: str) -> tuple[Any, str]:
    library, _, model = name.partition("/")
    if library not in {"timm", "torchvision"} or not model:
        raise ThawError(
            f"params.yaml: backbone.name: {name!r} must be timm/NAME, torchvision/NAME or {_OWN}"
        )
    if library == "timm":  # the import of each takes seconds
        from thaw.model import timm_backbones

        return timm_backbones, model
    from thaw.model import torchvision_backbones

    return torchvision_backbones, model


def _backbone(name: str, built: _Network) -> Backbone:
    chain, input_settings = built.chain, built.input_settings
    try:
        return Backbone(
            name=name,
            blocks=block_chain.blocks(chain),
            pool=chain.pool,
            features=chain.features,
            layout=chain.layout,
            mean=input_settings.mean,
            std=input_settings.std,
            interpolation=input_settings.interpolation,
            image_size=input_settings.image_size,
        )
    except CutError as error:
        raise _uncut(name, built.network, error) from error


def _check_cut(config: BackboneSettings, built: _Network, backbone: Backbone) -> None:
    try:
        block_chain.check_cut(built.network, built.chain, backbone.blocks, config.image_size)
    except CutError as error:
        raise _uncut(config.name, built.network, error) from error
    except Exception as error:  # each network raises another error for an image size
        raise ThawError(size_refusal(backbone, config.image_size, error)) from error


def size_refusal(backbone: Backbone, image_size: int, error: Exception) -> str:
    """Return the message about images of a size at which ``backbone`` raised ``error``."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"params.yaml: backbone.image_size: {backbone.name} does not accept images of "
        f"{image_size} pixels ({reason[:200]}); it was made for {backbone.image_size}; "
        f"set backbone.image_size to {backbone.image_size}"
    )


def _uncut(name: str, network: nn.Module, error: CutError) -> ThawError:
    return ThawError(
        f"params.yaml: backbone.name: {name} is a {type(network).__name__}, which cannot be cut "
        f"into blocks: {error}; `thaw backbones` lists those that can"
    )
