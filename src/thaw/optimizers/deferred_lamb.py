"""LAMB whose step reads no value from the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-6


class DeferredLamb(torch.optim.Optimizer):
    """LAMB that skips the update on the device where the attribute ``found_inf`` is 1.

    Its groups have ``always_adapt``: true where the step of each parameter is scaled by
    norm(weights) / norm(step), as always with a weight decay. Where no update is skipped, it
    computes what ``timm.optim.Lamb`` computes, up to rounding. The number of updates of a group is
    a scalar on the device.

    Source: You et al. 2020, Algorithm 2.
    """

    # As torch's fused optimisers, which thaw.training.optimizer_step and a GradScaler look for.
    _step_supports_amp_scaling = True

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0, "always_adapt": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Update every parameter that has a gradient. The gradients of a skipped step become 0."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._update(group, parameters)

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        found_inf: Tensor | None = getattr(self, "found_inf", None)
        if found_inf is None:
            found_inf = torch.zeros((), device=parameters[0].device)
        taken = 1 - found_inf
        count = group.setdefault("step", torch.zeros_like(taken))
        count += taken
        gradients = [p.grad for p in parameters if p.grad is not None]
        for gradient in gradients:
            gradient.masked_fill_(found_inf > 0, 0.0)
        means, squares = self._moments(parameters)
        torch._foreach_mul_(means, 1 - (1 - _BETA1) * taken)
        torch._foreach_add_(means, gradients, alpha=1 - _BETA1)
        torch._foreach_mul_(squares, 1 - (1 - _BETA2) * taken)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - _BETA2)
        updates = _adams(means, squares, count.clamp(min=1))  # 0 where the first one is skipped
        if group["weight_decay"]:
            torch._foreach_add_(updates, parameters, alpha=group["weight_decay"])
        rate = -group["lr"] * taken
        if group["weight_decay"] or group["always_adapt"]:
            torch._foreach_mul_(updates, [rate * ratio for ratio in _ratios(parameters, updates)])
        else:
            torch._foreach_mul_(updates, rate)
        torch._foreach_add_(parameters, updates)

    def _moments(self, parameters: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        for parameter in parameters:
            if parameter not in self.state:
                self.state[parameter]["exp_avg"] = torch.zeros_like(parameter)
                self.state[parameter]["exp_avg_sq"] = torch.zeros_like(parameter)
        states = [self.state[parameter] for parameter in parameters]
        return [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]


def _adams(means: list[Tensor], squares: list[Tensor], count: Tensor) -> list[Tensor]:
    """Return Adam's updates after ``count`` of them."""
    denominators = torch._foreach_sqrt(squares)
    torch._foreach_div_(denominators, (1 - _BETA2**count).sqrt())
    torch._foreach_add_(denominators, _EPS)
    updates = torch._foreach_div(means, 1 - _BETA1**count)
    torch._foreach_div_(updates, denominators)
    return list(updates)


def _ratios(parameters: list[Tensor], updates: list[Tensor]) -> Tensor:
    """Return norm(weights) / norm(update) of each parameter; 1 where one of both is 0."""
    lengths = torch.stack(torch._foreach_norm(parameters))
    steps = torch.stack(torch._foreach_norm(updates))
    return torch.where((lengths > 0) & (steps > 0), lengths / steps, 1.0)
