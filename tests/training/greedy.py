"""A network that exhausts the memory of a device above a number of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn


def greedy(module: nn.Module, most: int, *, with_gradients: bool = True) -> None:
    """Let ``module`` raise torch's error if it gets more than ``most`` images.

    It does so in training, or where no gradients are computed.
    """

    def check(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        if torch.is_grad_enabled() == with_gradients and len(inputs[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    module.register_forward_pre_hook(check)
