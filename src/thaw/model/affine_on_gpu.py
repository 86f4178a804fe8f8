"""The affine map of each channel in a training on a GPU, by the kernels of BatchNorm.

torch computes ``x * weight + bias`` with one value for each channel slowly where channels come last
in memory, and its backward pass writes a product as large as ``x`` before it is summed. The kernels
of SyncBatchNorm do the same in one pass each.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from torch import Tensor


def is_faster(x: Tensor) -> bool:
    """Return whether :func:`apply` is meant for ``x``: in training on a GPU.

    Compiled networks need it not: the compiler joins the map with what surrounds it.
    """
    return x.is_cuda and torch.is_grad_enabled() and not torch.compiler.is_compiling()


def apply(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ``x * weight + bias`` in the type of ``x`` (N, C, ...), computed in float32.

    ``weight`` and ``bias`` are (C,), float32.
    """
    mapped: Tensor = _Affine.apply(x, weight, bias)
    return mapped


class _Affine(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = _contiguous(x, x)
        ctx.save_for_backward(x, weight)
        zeros, ones = _constants(len(weight), x.device)
        return torch.batch_norm_elemt(x, weight, bias, zeros, ones, 0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        gradient = _contiguous(gradients[0], x)
        zeros, ones = _constants(len(weight), x.device)
        of_input = None
        if ctx.needs_input_grad[0]:
            of_input = torch.batch_norm_elemt(gradient, weight, zeros, zeros, ones, 0.0)
        _, _, of_weight, of_bias = torch.batch_norm_backward_reduce(
            gradient, x, zeros, ones, weight, input_g=False, weight_g=True, bias_g=True
        )
        return of_input, of_weight, of_bias


def _contiguous(values: Tensor, x: Tensor) -> Tensor:
    """Return ``values`` in the order of ``x`` in memory, channels last or contiguous."""
    channels_last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    order = torch.channels_last if channels_last else torch.contiguous_format
    return values.contiguous(memory_format=order)


@functools.cache
def _constants(channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return zeros and ones (C,) on ``device``, made once."""
    with torch.inference_mode(mode=False):
        return torch.zeros(channels, device=device), torch.ones(channels, device=device)
