"""Channel statistics: those that a BatchNorm expects, and those that the data has.

The distance between them is a measure of how far the data is from the training data of a backbone.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray


@dataclass
class Moments:
    """Count, sum and sum of squares of the values of each channel: float64 (C,).

    The sums stay on the device of the values: reading them for each layer would make a GPU wait.
    """

    count: int
    total: Tensor
    squares: Tensor

    def add(self, values: Tensor) -> None:
        """Add values (N, C, ...)."""
        count = values.numel() // values.shape[1]
        # The kernel of BatchNorm's training mode is four times as fast as torch.var_mean, and it
        # loses no digits in float32, as sums of squares do.
        inputs = values.detach().float()
        _, mean, deviation = torch.native_batch_norm(inputs, None, None, None, None, True, 0.0, 0.0)  # noqa: FBT003
        mean, inverse = mean.double(), deviation.double()
        variance = torch.where(inverse > 0, inverse**-2, 0.0)  # constant channel: inverse is 0
        self.count += count
        self.total += mean * count
        self.squares += (variance + mean.square()) * count

    @classmethod
    def empty(cls, channels: int, device: torch.device | None = None) -> Moments:
        """Return the moments of no values."""
        zeros = torch.zeros(channels, dtype=torch.float64, device=device)
        return cls(0, zeros, zeros.clone())

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both sets of values together."""
        return Moments(
            self.count + other.count, self.total + other.total, self.squares + other.squares
        )

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean (C,)."""
        return (self.total / self.count).cpu().numpy()

    @property
    def std(self) -> NDArray[np.float64]:
        """The standard deviation (C,)."""
        variance = (self.squares / self.count).cpu().numpy() - self.mean**2
        return np.sqrt(np.maximum(variance, 0.0))


Channels = dict[str, tuple["NDArray[np.float64]", "NDArray[np.float64]"]]


def expected(module: nn.Module) -> Channels:
    """Return running mean and standard deviation (C,) of each BatchNorm in ``module``, by name."""
    return {
        name: (
            child.running_mean.double().cpu().numpy(),
            (child.running_var.double() + child.eps).sqrt().cpu().numpy(),
        )
        for name, child in module.named_modules()
        if isinstance(child, _BatchNorm) and child.running_mean is not None
        if child.running_var is not None
    }


@contextmanager
def observed(
    module: nn.Module,
    names: Iterable[str],
    outputs_of: Iterable[str] = (),
    *,
    first: int | None = None,
    stride: int = 1,
) -> Iterator[dict[str, Moments]]:
    """Record the moments of the inputs of the modules ``names`` while the context is open.

    Of the modules ``outputs_of`` the outputs are recorded. Only the ``first`` images of each batch
    and every ``stride``-th row and column of a map are used.
    """
    moments: dict[str, Moments] = {}

    def add(name: str, values: Tensor) -> None:
        if name not in moments:
            moments[name] = Moments.empty(values.shape[1], values.device)
        values = values[:first]
        if values.ndim == 4 and stride > 1:
            # The kernel is five times as slow on a tensor that is not contiguous.
            thinned = values[:, :, ::stride, ::stride]
            values = thinned.contiguous(memory_format=torch.channels_last)
        moments[name].add(values)

    def before(name: str) -> torch.utils.hooks.RemovableHandle:
        return module.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs: add(name, inputs[0])
        )

    def after(name: str) -> torch.utils.hooks.RemovableHandle:
        return module.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output: add(name, output)
        )

    handles = [*(before(name) for name in names), *(after(name) for name in outputs_of)]
    try:
        yield moments
    finally:
        for handle in handles:
            handle.remove()


def shift(before: Channels, after: Mapping[str, Moments]) -> float:
    """Return the distance of ``after`` from ``before``: 0 is equal, 1 is a standard deviation.

    It is the median over all channels of the 2-Wasserstein distance between the two normal
    distributions, in units of the expected standard deviation.

    Source: Givens & Shortt 1984, A class of Wasserstein metrics for probability distributions.
    """
    distances = [
        np.sqrt((moments.mean - before[name][0]) ** 2 + (moments.std - before[name][1]) ** 2)
        / before[name][1]
        for name, moments in after.items()
    ]
    return float(np.median(np.concatenate(distances))) if distances else 0.0
