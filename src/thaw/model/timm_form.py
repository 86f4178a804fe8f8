"""A model as a plain network of timm: its weights and ``config.json``, as the hub has them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from timm.models import save_for_hf
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from thaw.model import block_chain, timm_backbones
from thaw.model.unallocated import build_unallocated

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.literals import Framing
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

_LIBRARY = "timm/"
_TOLERANCE = 1e-4  # of the largest logit
_CROP_MODES: dict[Framing, str] = {"crop": "center", "squish": "squash", "pad": "border"}


def save_timm_form(classifier: Classifier, spec: ModelSpec, folder: Path) -> bool:
    """Write ``model.safetensors`` and ``config.json`` of timm; return whether the model has them.

    A model has them if it is a network of timm with one linear layer on the pooled output of its
    last block. A calibration becomes part of that layer, merged BatchNorms become BatchNorms that
    add the merged offset. Nothing is written if the network does not compute the same logits.
    """
    network = _network(classifier, spec)
    if network is None:
        return False
    preprocessing = spec.preprocessing
    data = {
        "input_size": (3, preprocessing.image_size, preprocessing.image_size),
        "interpolation": preprocessing.interpolation,
        "crop_pct": preprocessing.crop_pct,
        "crop_mode": _CROP_MODES[preprocessing.framing],
        "mean": preprocessing.mean,
        "std": preprocessing.std,
    }
    config = {"num_classes": len(spec.classes), "label_names": list(spec.classes)}
    save_for_hf(
        network, str(folder), model_config=config, safe_serialization=True, data_config=data
    )
    return True


@torch.no_grad()
def _network(classifier: Classifier, spec: ModelSpec) -> nn.Module | None:
    """Return the network with the weights of ``classifier``; None if it is not plain."""
    last = classifier.head[-1] if isinstance(classifier.head, nn.Sequential) else None
    is_linear = isinstance(last, nn.Linear) and not spec.head.hidden
    if not spec.backbone.startswith(_LIBRARY) or not is_linear or spec.mirrored:
        return None
    if classifier.taps != (classifier.outline.blocks,):
        return None
    if len(build_unallocated(spec.backbone).blocks) != len(classifier.blocks):
        return None
    network: Any
    network, _ = timm_backbones.create(spec.backbone.removeprefix(_LIBRARY), None)
    network.reset_classifier(len(spec.classes))
    chain = timm_backbones.chain(network.eval())
    blocks = nn.ModuleList(block_chain.blocks(chain))
    if not isinstance(chain.last, nn.Linear):
        return None
    _copy(classifier, blocks, {affine: conv for conv, affine in spec.merged})
    assert isinstance(last, nn.Linear)
    _copy_head(last, chain.last, spec)
    size = spec.preprocessing.image_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    expected = _calibrated(classifier.eval()(images), spec)
    difference = (network(images) - expected).abs().max()
    return network if difference <= _TOLERANCE * expected.abs().max() else None


def _copy(classifier: Classifier, blocks: nn.ModuleList, merged: dict[str, str]) -> None:
    """Copy the weights of the blocks into those of the network, where their modules agree."""
    own = dict(classifier.named_modules())
    for name, target in blocks.named_modules(prefix="blocks"):
        source = own.get(name)
        if isinstance(target, _BatchNorm) and not isinstance(source, _BatchNorm):
            _become_affine(target, source, own[merged[name]] if name in merged else None)
        elif source is not None:
            _copy_tensors(source, target)


def _copy_tensors(source: nn.Module, target: nn.Module) -> None:
    for kind in ("_parameters", "_buffers"):
        given = getattr(source, kind)
        for name, value in getattr(target, kind).items():
            if value is not None and given.get(name) is not None:
                value.copy_(given[name])


def _become_affine(bn: _BatchNorm, affine: nn.Module | None, conv: nn.Module | None) -> None:
    """Make ``bn`` compute the affine map, or add the offset that was merged into ``conv``."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    bn.running_mean.zero_()
    bn.running_var.fill_(1.0)
    scale = math.sqrt(1.0 + bn.eps)
    weight, bias = getattr(affine, "weight", None), getattr(affine, "bias", None)
    if conv is not None:
        weight, bias = None, conv.bias
    bn.weight.fill_(scale)
    if isinstance(weight, torch.Tensor):
        bn.weight.copy_(weight * scale)
    bn.bias.zero_()
    if isinstance(bias, torch.Tensor):
        bn.bias.copy_(bias)


def _copy_head(source: nn.Linear, target: nn.Linear, spec: ModelSpec) -> None:
    """Copy the linear layer with the calibration, which is linear, too."""
    calibration = spec.calibration
    scale = torch.tensor(calibration.scale if calibration else [1.0])
    offset = torch.tensor((calibration.offset if calibration else []) or [0.0])
    target.weight.copy_(source.weight * scale[:, None])
    target.bias.copy_(source.bias * scale + offset)


def _calibrated(logits: torch.Tensor, spec: ModelSpec) -> torch.Tensor:
    if spec.calibration is None:
        return logits
    scaled = logits * torch.tensor(spec.calibration.scale)
    return scaled + torch.tensor(spec.calibration.offset) if spec.calibration.offset else scaled
