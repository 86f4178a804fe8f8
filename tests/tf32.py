"""Simulate TF32 on a CPU: convolutions round their inputs if cuDNN may use TF32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    import pytest
    from torch import Tensor


def rounded(values: Tensor) -> Tensor:
    """Round float32 values to a mantissa of 10 bits; the gradient is not rounded."""
    plain = values.detach()
    bits = (plain.view(torch.int32) + 0x1000) & -0x2000
    return values + (bits.view(torch.float32) - plain)


def simulate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round the inputs of every convolution while ``torch.backends.cudnn.allow_tf32`` is set.

    It is set here, because a test before may have left it off. While an exporter records
    operations, nothing is rounded.
    """
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    real = torch.nn.functional.conv2d

    def conv2d(inputs: Tensor, weight: Tensor, *rest: Any, **options: Any) -> Tensor:
        on = torch.backends.cudnn.allow_tf32 and inputs.dtype == weight.dtype == torch.float32
        if on and not torch.compiler.is_exporting():
            inputs, weight = rounded(inputs), rounded(weight)
        return real(inputs, weight, *rest, **options)

    monkeypatch.setattr(torch.nn.functional, "conv2d", conv2d)
