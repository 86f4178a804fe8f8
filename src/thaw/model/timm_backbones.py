"""The networks of timm as chains of their parts; ``block_chain.check_cut`` checks each chain."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from thaw.model.block_chain import Chain, CutError, InputSettings, as_layout, without
from thaw.model.published_weights import (
    PublishedWeights,
    is_in_hub_cache,
    is_in_torch_cache,
)
from thaw.system.deferred_compiler import compiler_deferred

if TYPE_CHECKING:
    from thaw.model.classifier import Layout

with compiler_deferred():
    import timm
    from timm.layers import RotaryEmbeddingMixed
    from timm.models.mlp_mixer import MlpMixer
    from timm.models.vision_transformer_relpos import VisionTransformerRelPos

# Each part of a container is a step; any other child of a network is one step.
_CONTAINERS = {"blocks", "features", "layers", "levels", "stages"}
# timm's `forward_head` begins with the first of these.
_HEADS = {
    "attn_pool", "classifier", "fc", "fc_norm", "global_pool", "head", "head_drop", "pre_logits",
}  # fmt: skip
# The files of timm whose networks can be cut. Exceptions are refused when they are built.
_FILES = (
    "beit", "byoanet", "byobnet", "convmixer", "convnext", "csatv2", "cspnet", "cspnext",
    "davit", "deit", "densenet", "dla", "dpn", "edgenext", "efficientnet", "efficientvit_mit",
    "efficientvit_msra", "eva", "fasternet", "fastvit", "focalnet", "gcvit", "ghostnet",
    "hardcorenas", "hgnet", "hiera", "inception_next", "inception_resnet_v2",
    "inception_v3", "inception_v4", "lcnetv2", "mambaout", "maxxvit", "metaformer",
    "mlp_mixer", "mobilenetv3", "mobilevit", "nextvit", "nfnet", "pvt_v2", "rdnet", "regnet",
    "repghost", "res2net", "resnest", "resnet", "resnetv2", "rexnet", "senet", "shvit",
    "sknet", "starnet", "swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr",
    "tiny_vit", "tresnet", "vgg", "vision_transformer", "vision_transformer_hybrid",
    "vision_transformer_relpos", "vitamin", "vovnet", "xception", "xception_aligned",
)  # fmt: skip
_EXCEPT = (
    "caformer_*",  # their classifier has two layers
    "convformer_*",  # the same
    "*distilled*",  # they average the logits of two classifiers
    "*_rope_mixed_*",  # all blocks share the learned frequencies of one position embedding
    "vit_srelpos_*",  # all blocks share one learned table of relative positions
)


def names() -> list[str]:
    """Return the names of the networks that can be cut."""
    listed: list[str] = timm.list_models(module=list(_FILES), exclude_filters=list(_EXCEPT))
    return listed


def exists(model: str) -> bool:
    """Return whether timm has ``model``, whose name may include the tag of its weights."""
    return bool(timm.is_model(model.split(".")[0]))


def create(model: str, tag: str | None) -> tuple[nn.Module, InputSettings]:
    """Return ``model`` with the pretrained weights ``tag`` ("" is the default, None is none).

    Raises:
        OSError: the weights cannot be downloaded.
        RuntimeError: timm has no such weights.
    """
    name = f"{model.split('.')[0]}.{tag}" if tag else model
    try:  # the option lets networks with position embeddings accept any size
        network = timm.create_model(name, pretrained=tag is not None, dynamic_img_size=True)
    except TypeError:  # most networks accept any size and have no such option
        network = timm.create_model(name, pretrained=tag is not None)
    config = network.pretrained_cfg
    usual = config.get("interpolation") == "bicubic"
    input_settings = InputSettings(
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation="bicubic" if usual else "bilinear",
        image_size=config["input_size"][-1],
    )
    return network, input_settings


def published_weights(model: str) -> PublishedWeights:
    """Return the default weights of ``model``."""
    config = timm.get_pretrained_cfg(model)
    if config is None or not config.has_weights:
        return PublishedWeights(config.input_size[-1] if config else 224, None)
    on_disk = (
        is_in_hub_cache(config.hf_hub_id) if config.hf_hub_id else is_in_torch_cache(config.url)
    )
    return PublishedWeights(config.input_size[-1], on_disk)


def chain(network: Any) -> Chain:
    """Return the parts of ``network`` in the order in which they are defined.

    Raises:
        CutError: the network does not have exactly one classifier.
    """
    has_one = hasattr(network, "forward_head") and hasattr(network, "get_classifier")
    last = network.get_classifier() if has_one else None
    if not isinstance(last, nn.Module):
        raise CutError("it does not have exactly one classifier")
    children = list(network.named_children())
    start = next((at for at, (name, _) in enumerate(children) if name in _HEADS), len(children))
    below, above = children[:start], children[start:]
    steps = [step for name, part in below for step in _steps(name, part)]
    layout: Layout = getattr(network, "output_fmt", "NLC" if _has_tokens(network) else "NCHW")
    if any(parameter is not None for parameter in network._parameters.values()):
        # Class tokens and position embeddings belong to the network itself, and so does their use.
        layout = "NLC"
        first = next((at for at, (name, _) in enumerate(below) if name in _CONTAINERS), 0)
        upper = [part for _, part in below[first:]]
        steps = [step for name, part in below[first:] for step in _steps(name, part)]
        steps = _with_positions(network, steps)
        steps = [Stem(without(network, [*upper, *(part for _, part in above)])), *steps]
    # The head has its own dropout before the classifier.
    drops = [part for part in network.modules() if isinstance(part, nn.Dropout)]
    top = Top(without(network, [*(part for _, part in below), last, *drops]))
    top.network._parameters = {}
    top.network.drop_rate = 0.0
    width = getattr(network, "head_hidden_size", network.num_features)
    if not any(True for _ in top.parameters()):
        return Chain(steps, top, last, layout, width)
    return Chain([*steps, Shaped(top, layout)], nn.Flatten(1), last, layout, width)


class Stem(nn.Module):
    """The first step of a network with tokens: the network without its blocks."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the tokens (N, L, C) of images (N, 3, S, S)."""
        tokens: Tensor = self.network.forward_features(images)
        return tokens


class Top(nn.Module):
    """The layers of a network between its features and its classifier."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, features: Tensor) -> Tensor:
        """Return the pooled features (N, F) of features in the layout of the network."""
        pooled: Tensor = self.network.forward_head(features)
        return pooled


class Shaped(nn.Module):
    """A top with weights as part of the last block: its output has the layout of a block."""

    def __init__(self, top: Top, layout: Layout) -> None:
        super().__init__()
        self.top = top
        self.layout: Layout = layout

    def forward(self, features: Tensor) -> Tensor:
        """Return the pooled features as one pixel or token in the layout of the network."""
        return as_layout(self.top(features), self.layout)


class RotaryBlock(nn.Module):
    """A block of a transformer together with the rotary position embedding that it reads.

    The embedding has no parameters and no saved buffers, so that each block can have its own copy.

    Source: Su et al. 2021, RoFormer: Enhanced transformer with rotary position embedding.
    """

    def __init__(self, block: nn.Module, rope: nn.Module, prefix_tokens: int) -> None:
        super().__init__()
        self.block = block
        self.rope: Any = copy.deepcopy(rope)
        self.prefix_tokens = prefix_tokens

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens (N, L, C) of tokens (N, L, C) of a square image."""
        side = math.isqrt(tokens.shape[1] - self.prefix_tokens)
        mixed: Tensor = self.block(tokens, rope=self.rope.get_embed(shape=[side, side]))
        return mixed


def _with_positions(network: Any, steps: list[nn.Module]) -> list[nn.Module]:
    """Return the steps; each block reads the rotary position embedding if ``network`` has one.

    Raises:
        CutError: the embedding has learned parameters, which all blocks share.
    """
    rope = getattr(network, "rope", None)
    if rope is None:
        return steps
    if isinstance(rope, RotaryEmbeddingMixed):
        raise CutError("all blocks share the learned frequencies of its position embedding")
    blocks = set(network.blocks)
    prefix = network.num_prefix_tokens
    return [RotaryBlock(step, rope, prefix) if step in blocks else step for step in steps]


def _steps(name: str, part: nn.Module) -> list[nn.Module]:
    if name in _CONTAINERS and isinstance(part, (nn.Sequential, nn.ModuleList)):
        return list(part)
    return [part]


def _has_tokens(network: nn.Module) -> bool:
    """Return whether the blocks of ``network`` return tokens, without parameters of its own."""
    return isinstance(network, (MlpMixer, VisionTransformerRelPos))
