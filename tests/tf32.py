"""A CPU that rounds as a GPU does: convolutions in TF32 wherever cuDNN is allowed to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    import pytest
    from torch import Tensor


def rounded(values: Tensor) -> Tensor:
    """Float32 to a mantissa of 10 bits, to the nearest; the gradient passes as it is."""
    plain = values.detach()
    bits = (plain.view(torch.int32) + 0x1000) & -0x2000
    return values + (bits.view(torch.float32) - plain)


def simulate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round what every convolution reads, as long as ``torch.backends.cudnn.allow_tf32`` is set.

    An exporter records operations and computes nothing: what it records is not rounded.
    """
    real = torch.nn.functional.conv2d

    def conv2d(inputs: Tensor, weight: Tensor, *rest: Any, **options: Any) -> Tensor:
        on = torch.backends.cudnn.allow_tf32 and inputs.dtype == weight.dtype == torch.float32
        if on and not torch.compiler.is_exporting():
            inputs, weight = rounded(inputs), rounded(weight)
        return real(inputs, weight, *rest, **options)

    monkeypatch.setattr(torch.nn.functional, "conv2d", conv2d)
