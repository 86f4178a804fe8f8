"""Name -> blocks: where a backbone and its weights come from.

The networks of each library are known to a module beside this one. Cutting must not change the
output: it is checked, on one image, whenever weights are loaded.
"""

from __future__ import annotations

import difflib
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import nn

from thaw.errors import ThawError
from thaw.model import block_chain, initialization, lenet, weights
from thaw.model.block_chain import CutError
from thaw.model.weights import PACKAGED

if TYPE_CHECKING:
    from thaw.model.block_chain import Chain, Layout, Normal

_OWN = "lenet5"


class BackboneSettings(Protocol):
    """What the zoo needs to know of a backbone; the section ``backbone`` has all of it."""

    @property
    def name(self) -> str:
        """The name of the network, as :func:`names` lists it."""

    @property
    def weights(self) -> str:
        """The origin of the weights: see :func:`load`."""

    @property
    def init(self) -> initialization.Init:
        """The distribution of new weights."""

    @property
    def gabor(self) -> bool:
        """Whether the first convolution starts as Gabor filters."""

    @property
    def layerwise_epochs(self) -> int:
        """The number of epochs for which each block is pretrained; 0 is none."""

    @property
    def image_size(self) -> int:
        """The side of the input images in pixels."""


@dataclass(frozen=True)
class Backbone:
    """A network in blocks, and what its input must look like."""

    name: str
    blocks: list[nn.Module]
    pool: nn.Module
    features: int
    layout: Layout
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]


def names() -> list[str]:
    """The names that :func:`build` takes; of timm's others some can be cut, too."""
    from thaw.model import timm_backbones, torchvision_backbones

    return [
        _OWN,
        *(f"torchvision/{model}" for model in torchvision_backbones.names()),
        *(f"timm/{model}" for model in timm_backbones.names()),
    ]


def build(name: str) -> Backbone:
    """The backbone in blocks, for weights that are yet to be loaded: its own are not set.

    Raises:
        ThawError: no such name, or a network that cannot be cut.
    """
    with initialization.NoDraws():
        return _backbone(name, _make(name, tag=None))


def load(config: BackboneSettings, *, seed: int = 0) -> tuple[Backbone, str]:
    """The backbone with its weights, and their digest (SHA-256).

    ``config.weights`` is ``packaged``; ``pretrained`` or the name of one of the library's
    pretrained weights; ``none``, for weights that ``config.init``, ``config.gabor`` and ``seed``
    say; or the path of a ``.safetensors`` or ``.pth`` file that holds the network's state dict.

    Raises:
        ThawError: no such name or file, no network, weights that do not fit, or a network that
            cannot be cut or takes no images of ``config.image_size``.
    """
    check(config)
    made = _from_scratch(config, seed) if config.weights == "none" else _with_weights(config)
    backbone = _backbone(config.name, made)
    _prove(config, made, backbone)
    return backbone, weights.digest(nn.ModuleList(backbone.blocks).state_dict())


def check(config: BackboneSettings) -> None:
    """That nothing which makes new weights is asked for where there are weights to start from.

    Also for weights that this module does not load: those of a registered model.

    Raises:
        ThawError: ``gabor`` or ``layerwise_epochs`` would overwrite them.
    """
    if config.weights == "none":
        return
    for key, given in (("gabor", config.gabor), ("layerwise_epochs", config.layerwise_epochs)):
        if given:
            raise ThawError(
                f"params.yaml: backbone.{key}: it would overwrite the loaded weights "
                f"({config.weights}): set weights: none to train from scratch, or "
                f"{key}: {str(type(given)()).lower()}"
            )


@dataclass(frozen=True)
class _Made:
    network: nn.Module
    normal: Normal
    chain: Chain


def _with_weights(config: BackboneSettings) -> _Made:
    name, chosen = config.name, config.weights
    if chosen == "packaged" and name != PACKAGED:
        raise ThawError(
            f"params.yaml: backbone.weights: packaged weights are those of {PACKAGED}, not {name}"
        )
    is_file = chosen == "packaged" or weights.is_file(chosen)
    tag = None if is_file else chosen.replace("pretrained", "")
    with initialization.NoDraws():
        made = _make(name, tag)
    if is_file:
        read = weights.packaged(made.network) if chosen == "packaged" else weights.read(chosen)
        weights.assign(made.network, made.chain.last, read)
        # The head replaces the network's own classifier; the proof of the cut still uses it.
        for parameter in made.chain.last.parameters():
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    return made


def _from_scratch(config: BackboneSettings, seed: int) -> _Made:
    with torch.random.fork_rng():  # what the libraries draw themselves
        torch.manual_seed(seed)
        made = _make(config.name, tag=None)
    initialization.scratch(made.network, config.init, seed)
    if config.gabor:
        try:
            initialization.gabor(made.network)
        except ValueError as error:
            raise ThawError(f"params.yaml: backbone.gabor: {config.name}: {error}") from error
    return made


def _make(name: str, tag: str | None) -> _Made:
    """The network and its chain; ``tag`` names pretrained weights, "" the library's default."""
    if name == _OWN:
        if tag is not None:
            raise ThawError(
                f"params.yaml: backbone.weights: {name} has no pretrained weights: use none, or "
                "the path of a file"
            )
        own = lenet.LeNet5()
        return _Made(own, lenet.NORMAL, lenet.chain(own))
    library, model = _library(name)
    if not library.exists(model):
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else "; see `thaw backbones`"
        raise ThawError(f"params.yaml: backbone.name: {name} is unknown{hint}")
    try:
        with weights.impatient() if tag is not None else nullcontext():
            network, normal = library.create(model, tag)
    except OSError as error:  # the downloads of both libraries end in one when there is no network
        raise ThawError(
            f"params.yaml: backbone.weights: the pretrained weights of {name} could not be "
            f"downloaded ({type(error).__name__}): give the path of a local file, or use "
            f"{PACKAGED} with weights: packaged, which needs no network"
        ) from error
    except (RuntimeError, ValueError) as error:  # no such tag, or no weights for the name
        key = "weights" if tag else "name"
        reason = str(error).splitlines()[0]
        raise ThawError(f"params.yaml: backbone.{key}: {name}: {reason}") from error
    try:
        return _Made(network, normal, library.chain(network))
    except CutError as error:
        raise _uncut(name, network, error) from error


def _library(name: str) -> tuple[Any, str]:
    library, _, model = name.partition("/")
    if library not in {"timm", "torchvision"} or not model:
        raise ThawError(
            f"params.yaml: backbone.name: {name!r} must be timm/NAME, torchvision/NAME or {_OWN}"
        )
    if library == "timm":  # each takes seconds to import
        from thaw.model import timm_backbones

        return timm_backbones, model
    from thaw.model import torchvision_backbones

    return torchvision_backbones, model


def _backbone(name: str, made: _Made) -> Backbone:
    chain, normal = made.chain, made.normal
    try:
        return Backbone(
            name=name,
            blocks=block_chain.blocks(chain),
            pool=chain.pool,
            features=chain.features,
            layout=chain.layout,
            mean=normal.mean,
            std=normal.std,
            interpolation=normal.interpolation,
        )
    except CutError as error:
        raise _uncut(name, made.network, error) from error


def _prove(config: BackboneSettings, made: _Made, backbone: Backbone) -> None:
    try:
        block_chain.prove(made.network, made.chain, backbone.blocks, config.image_size)
    except CutError as error:
        raise _uncut(config.name, made.network, error) from error
    except Exception as error:  # each network says in its own way that it takes no such images
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ThawError(
            f"params.yaml: backbone.image_size: {config.name} takes no images of "
            f"{config.image_size} pixels ({reason}); it was made for {made.normal.image_size}"
        ) from error


def _uncut(name: str, network: nn.Module, error: CutError) -> ThawError:
    return ThawError(
        f"params.yaml: backbone.name: {name} is a {type(network).__name__}, which cannot be cut "
        f"into blocks: {error}; `thaw backbones` lists what can"
    )
