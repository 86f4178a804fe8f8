"""Replace BatchNorm by a trainable affine map, and merge that into the convolution before it.

In evaluation mode BatchNorm is affine in each channel:
``gamma' = gamma / sqrt(var + eps)``, ``beta' = beta - mean * gamma'``.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thaw.model import affine_on_gpu

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


# The largest difference of a merged block's output, relative to its scale, due to rounding.
_ROUNDING = 1e-4


class ChannelAffine(nn.Module):
    """An affine map of each channel, ``x * weight + bias``, and an activation.

    Input and output have shape (N, C, ...), ``weight`` and ``bias`` (C,). The activation is the one
    that timm fuses with a BatchNorm; elsewhere it is the identity.
    """

    def __init__(self, weight: Tensor, bias: Tensor, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.activation = activation if activation is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the mapped tensor (N, C, ...)."""
        if affine_on_gpu.is_faster(x):
            return self._activated(affine_on_gpu.apply(x, self.weight, self.bias))
        shape = (1, -1) + (1,) * (x.ndim - 2)
        mapped = torch.addcmul(
            self.bias.view(shape).to(x.dtype), x, self.weight.view(shape).to(x.dtype)
        )
        return self._activated(mapped)

    def _activated(self, mapped: Tensor) -> Tensor:
        activated: Tensor = self.activation(mapped)
        return activated


def fold(bn: _BatchNorm) -> ChannelAffine:
    """Return the trainable affine map that equals ``bn`` in evaluation mode.

    Input and output have shape (N, C, ...), the two new parameters (C,).

    Raises:
        ValueError: ``bn`` does not track running statistics.

    Source: Ioffe & Szegedy 2015, Algorithm 2, line 11.
    """
    if bn.running_mean is None or bn.running_var is None:
        raise ValueError("a BatchNorm without running statistics cannot be folded")
    mean, var = bn.running_mean.double(), bn.running_var.double()
    # bn.weight and bn.bias are None if the BatchNorm was created with affine=False
    gamma = torch.ones_like(mean) if bn.weight is None else bn.weight.detach().double()
    beta = torch.zeros_like(mean) if bn.bias is None else bn.bias.detach().double()
    weight = gamma / torch.sqrt(var + bn.eps)
    bias = beta - mean * weight
    dtype = bn.running_mean.dtype
    return ChannelAffine(weight.to(dtype), bias.to(dtype), _fused_activation(bn))


def fold_all(module: nn.Module) -> int:
    """Replace every BatchNorm in ``module`` by its affine map, in place; return their number."""
    names = [name for name, child in module.named_modules() if isinstance(child, _BatchNorm)]
    for name in names:
        bn = module.get_submodule(name)
        assert isinstance(bn, _BatchNorm)
        module.set_submodule(name, fold(bn))
    return len(names)


def fold_blocks(blocks: nn.ModuleList, indices: Iterable[int]) -> None:
    """Replace every BatchNorm of the blocks at ``indices`` by its affine map, in place."""
    for index in indices:
        fold_all(blocks[index])


def has_statistics(module: nn.Module) -> bool:
    """Return whether any BatchNorm in ``module`` tracks running statistics."""
    return any(
        isinstance(child, _BatchNorm) and child.running_mean is not None
        for child in module.modules()
    )


def affine_names(module: nn.Module) -> list[str]:
    """Return the names of the affine maps in ``module``, in order."""
    return [name for name, child in module.named_modules() if isinstance(child, ChannelAffine)]


def merge_pairs(module: nn.Module, example: Tensor) -> list[tuple[str, str]]:
    """Return the names (convolution, affine map) of all pairs that can be merged.

    They are found by a forward pass of ``example`` (N, 3, S, S): the output tensor of the
    convolution must be the input of the affine map, no other module may read it, and both modules
    may run only once.
    """
    return _traced(module, example)[0]


def _traced(module: nn.Module, example: Tensor) -> tuple[list[tuple[str, str]], Tensor]:
    """Return the pairs of :func:`merge_pairs`, and the output for ``example``."""
    producers: dict[int, str] = {}
    readers: dict[int, list[str]] = {}
    calls: Counter[str] = Counter()
    kept: list[Tensor] = []  # the ids of tensors are unique only while the tensors exist

    def watch(name: str, child: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls[name] += 1
            for tensor in inputs:
                kept.append(tensor)
                readers.setdefault(id(tensor), []).append(name)
            if isinstance(child, nn.Conv2d):
                kept.append(output)
                producers[id(output)] = name

        return child.register_forward_hook(hook)

    leaves = [
        (name, child)
        for name, child in module.named_modules()
        if isinstance(child, (nn.Conv2d, ChannelAffine)) or not list(child.children())
    ]
    handles = [watch(name, child) for name, child in leaves]
    try:
        with torch.no_grad():
            result: Tensor = module(example)
    finally:
        for handle in handles:
            handle.remove()
    affine = set(affine_names(module))
    found = [
        (producers[tensor], names[0])
        for tensor, names in readers.items()
        if tensor in producers and len(names) == 1 and names[0] in affine
    ]
    pairs = [(conv, mapped) for conv, mapped in found if calls[conv] == calls[mapped] == 1]
    return pairs, result


def merge(module: nn.Module, pairs: Sequence[tuple[str, str]]) -> None:
    """Merge each affine map into the convolution before it, in place.

    ``W' = weight * W`` for each output channel, ``b' = weight * b + bias``. The activation of the
    affine map takes its place.
    """
    for conv_name, affine_name in pairs:
        conv = module.get_submodule(conv_name)
        affine = module.get_submodule(affine_name)
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(affine, ChannelAffine)
        weight, bias = affine.weight.detach().double(), affine.bias.detach().double()
        before = torch.zeros_like(bias) if conv.bias is None else conv.bias.detach().double()
        scaled = conv.weight.detach().double() * weight.view(-1, 1, 1, 1)
        conv.weight = nn.Parameter(scaled.to(conv.weight.dtype))
        conv.bias = nn.Parameter((weight * before + bias).to(conv.weight.dtype))
        module.set_submodule(affine_name, affine.activation)


def merged_copy(module: nn.Module, example: Tensor) -> tuple[nn.Module, Tensor]:
    """Return a faster evaluation copy of ``module`` with merged BatchNorm, and its output.

    The output is that for ``example`` (1, ...), an input of the module. If it differs from the
    output of ``module`` by more than rounding, nothing is merged: a network may use the output of a
    convolution in another place, too. The comparison runs on the CPU in float32, because the
    convolutions of a GPU may round to TF32.
    """

    def plain() -> nn.Module:
        return copy.deepcopy(module).cpu().eval().requires_grad_(requires_grad=False)

    device, example = example.device, example.cpu()
    found = nn.Sequential(plain())  # ``module`` itself may be a BatchNorm
    before = dict(found.named_modules())
    fold_all(found)
    pairs, output = _traced(found, example.clone())  # a block may write into its input
    merge(found, pairs)
    for name in affine_names(found):  # an affine map alone is not faster than a BatchNorm
        found.set_submodule(name, before[name])
    if pairs:
        difference = (found(example.clone()) - output).abs().max()
        if not difference <= _ROUNDING * output.abs().max():
            found = nn.Sequential(plain())
    found.requires_grad_(requires_grad=False)
    return found.to(device), output.to(device)


def _fused_activation(bn: _BatchNorm) -> nn.Module | None:
    """Return the dropout and activation that timm's ``BatchNormAct2d`` applies, or None."""
    parts = [
        part
        for part in (getattr(bn, "drop", None), getattr(bn, "act", None))
        if isinstance(part, nn.Module) and not isinstance(part, nn.Identity)
    ]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else nn.Sequential(*parts)
