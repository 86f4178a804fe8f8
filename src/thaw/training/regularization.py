"""Regularisation: terms of the loss, and terms of its gradient.

The penalties are added to the gradient after the backward pass and not to the loss before it, so
that they are the same in every process and cost one pass over the weights.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from thaw.config.section import AUTO
from thaw.training.divided_tensors import divided_like, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from thaw.config.regularize_section import Regularize

# Weights of which a penalty is computed at once: a GPU starts few kernels, and needs memory.
_AT_ONCE = 2**24


class Loss:
    """The cross-entropy of each image in nats, with label smoothing and class weights."""

    def __init__(self, config: Regularize, targets: NDArray[np.int64]) -> None:
        """Take the settings without ``auto``, and the targets of the whole training split."""
        assert config.label_smoothing != AUTO
        self._smoothing = config.label_smoothing
        self._balance = balanced_weights(targets) if config.class_weights == "balanced" else None

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits (N, C) and targets (N,), or shares (N, C) -> losses (N,).

        Label smoothing: Szegedy et al. 2016. With class weights, each class's term of an
        image's cross-entropy counts by the weight of that class.
        """
        weight = None
        if self._balance is not None:
            missing = logits.shape[1] - len(self._balance)
            self._balance = F.pad(self._balance, (0, missing)).to(logits.device, logits.dtype)
            weight = self._balance
        return F.cross_entropy(
            logits, targets, weight, label_smoothing=self._smoothing, reduction="none"
        )


def balanced_weights(targets: NDArray[np.int64]) -> Tensor:
    """Return a weight for each class, ``N / (C * n_c)``: all classes count the same in sum.

    C counts the classes that have images. The other classes, up to the highest, have weight 0.

    Source: King & Zeng 2001, as in scikit-learn.
    """
    from sklearn.utils.class_weight import compute_class_weight  # takes a second to import

    present = np.unique(targets)
    weights = np.zeros(present[-1] + 1)
    weights[present] = compute_class_weight("balanced", classes=present, y=targets)
    return torch.from_numpy(weights)


@torch.no_grad()
def pull_to_zero(parameters: Iterable[Tensor], strength: float) -> None:
    """L1 (Tibshirani 1996): the subgradient ``strength * sign(w)``, for weight matrices alone."""
    matrices = ((weight,) for weight in parameters if weight.ndim > 1)
    for gradients, (weights,) in _groups(matrices):
        torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=strength)


@torch.no_grad()
def pull_to_start(pairs: Iterable[tuple[Tensor, Tensor]], strength: float) -> None:
    """L2-SP (Li, Grandvalet & Davoine 2018): the gradient of ``strength / 2 * |w - w0|^2``.

    ``pairs`` are the weights and where they started.
    """
    for gradients, (weights, starts) in _groups(pairs):
        torch._foreach_add_(gradients, torch._foreach_sub(weights, starts), alpha=strength)


def _groups(
    rows: Iterable[tuple[Tensor, ...]],
) -> Iterator[tuple[list[Tensor], list[list[Tensor]]]]:
    """Yield the gradients and the tensors of some rows at a time, of about ``_AT_ONCE`` weights.

    The first tensor of a row is a parameter. Those without a gradient are left out. In sharded
    training they are the shares of this process.
    """
    group: list[tuple[Tensor, ...]] = []
    size = 0
    for row in rows:
        gradient = row[0].grad
        if gradient is None:
            continue
        group.append(tuple(share(tensor) for tensor in (gradient, *row)))
        size += group[-1][0].numel()
        if size >= _AT_ONCE:
            yield _columns(group)
            group, size = [], 0
    if group:
        yield _columns(group)


def _columns(group: list[tuple[Tensor, ...]]) -> tuple[list[Tensor], list[list[Tensor]]]:
    gradients, *columns = (list(column) for column in zip(*group, strict=True))
    return gradients, columns


@torch.no_grad()
def add_noise(parameters: Iterable[Tensor], variance: float, step: int, seed: int) -> None:
    """Gradient noise N(0, variance / (1 + step) ** 0.55) (Neelakantan et al. 2015).

    Drawn on the CPU from ``seed`` alone: the same on every process and device.
    """
    generator = torch.Generator().manual_seed(seed)
    deviation = math.sqrt(variance / (1 + step) ** 0.55)
    for parameter in parameters:
        if parameter.grad is not None:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.grad.add_(divided_like(parameter, noise), alpha=deviation)
