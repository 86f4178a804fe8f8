"""The affine map by the kernels of BatchNorm: the values and gradients of the plain formula."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from thaw.model import affine_on_gpu
from thaw.model.batchnorm import ChannelAffine

SHAPES = [(6, 5, 7, 9), (6, 5), (6, 5, 11)]


def inputs(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(dtype)
    weight, bias = torch.randn(2, shape[1], generator=generator).unbind()
    return x, weight, bias, torch.randn(shape, generator=generator).to(dtype)


def test_a_cpu_computes_the_plain_formula() -> None:
    x, weight, bias, _ = inputs(SHAPES[0], torch.float32)
    assert not affine_on_gpu.is_faster(x)
    expected = torch.addcmul(bias.view(1, -1, 1, 1), x, weight.view(1, -1, 1, 1))
    assert torch.equal(ChannelAffine(weight, bias)(x), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02), (torch.float16, 2e-3)]
)
def test_a_gpu_computes_the_same_values_and_gradients_twice(
    shape: tuple[int, ...], channels_last: Any, dtype: torch.dtype, tolerance: float
) -> None:
    x, weight, bias, gradient = inputs(shape, dtype)
    exact = [value.double().requires_grad_() for value in (x, weight, bias)]
    view = (1, -1) + (1,) * (len(shape) - 2)
    outputs = exact[0] * exact[1].view(view) + exact[2].view(view)
    expected = [outputs.detach(), *torch.autograd.grad(outputs, exact, gradient.double())]

    def found() -> list[torch.Tensor]:
        given = x.cuda()
        if channels_last and len(shape) == 4:
            given = given.contiguous(memory_format=torch.channels_last)
        given = given.requires_grad_()
        affine = ChannelAffine(weight, bias).cuda()
        assert affine_on_gpu.is_faster(given)
        mapped = affine(given)
        assert mapped.dtype == dtype
        assert mapped.stride() == given.stride()
        wanted = [given, affine.weight, affine.bias]
        return [mapped.detach(), *torch.autograd.grad(mapped, wanted, gradient.cuda())]

    first, second = found(), found()
    for one, other, value in zip(first, second, expected, strict=True):
        assert torch.equal(one, other)
        scale = float(value.abs().max())
        assert float((one.cpu().double() - value).abs().max()) <= tolerance * scale
