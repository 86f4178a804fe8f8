"""One update of the weights: penalties, clipping and noise; non-finite gradients change nothing."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import torch

from thaw.data.random_draws import derived_seed
from thaw.errors import ThawError
from thaw.training import regularization
from thaw.training.determinism import only_deterministic
from thaw.training.divided_tensors import whole
from thaw.training.parameter_groups import parameters_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch.optim import Optimizer

    from thaw.config.regularize_section import Regularize
    from thaw.training.runtime import Runtime

_NONE = -1
_SCALER_STATE: dict[str, type] = {"scale": float, "_growth_tracker": int}
_STEPS = 2**32  # an epoch and a step are kept as one number


class NotFiniteError(ThawError):
    """Training has diverged: the gradient or the validation loss is not finite."""


class OptimizerStep:
    """The steps of one optimiser. A gradient that is not finite changes no weight.

    On a CPU such a step raises an error. On a GPU, reading a value would make the program wait for
    the device in every step. There, the optimiser skips the update on the device, by ``found_inf``,
    and :meth:`raise_if_not_finite` reads later which step was the first.

    In fp16 the loss is scaled, and overflows are expected: such a step is skipped, the scale is
    halved, and the gradient counts as not finite only where the scale is below 1, or where each
    element is finite and the norm is not: then the scale is not the reason.

    Source: Micikevicius et al. 2018 (loss scaling).
    """

    def __init__(
        self,
        runtime: Runtime,
        optimizer: Optimizer,
        settings: Regularize,
        seed: int,
        start: Sequence[tuple[Tensor, Tensor]],
    ) -> None:
        """Take the optimiser, and pairs of a weight and the value that L2-SP pulls it to."""
        self.optimizer: Any = optimizer
        self.parameters = parameters_of(optimizer)
        self.scaler = runtime.precision.loss_scaler(runtime.device)
        self._settings, self._seed, self._start = settings, seed, start
        self._is_deferred = runtime.asynchronous and bool(
            getattr(optimizer, "_step_supports_amp_scaling", False)
        )
        self._first_failure = torch.full((), _NONE, dtype=torch.int64, device=runtime.device)
        self._one = torch.ones((), device=runtime.device)
        self.is_strict = False  # see thaw.training.determinism

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of ``loss``, scaled in fp16, to those of the parameters."""
        with only_deterministic() if self.is_strict else contextlib.nullcontext():
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def take(self, epoch: int, step: int, number: int) -> None:
        """Update the weights from their gradients, and clear the gradients.

        ``step`` is that of ``epoch``; ``number`` is that of the phase, from 0.

        Raises:
            NotFiniteError: the gradient is not finite; the weights are as before the step. Where
                the step is deferred, see :meth:`raise_if_not_finite`.
        """
        self.scaler.unscale_(self.optimizer)
        self._add_penalties()
        norm = whole(torch.nn.utils.get_total_norm(self._gradients()))
        if self._is_deferred:
            self._step_on_device(norm, epoch, step, number)
        else:
            self._step_now(norm, epoch, step, number)
        self.scaler.update()
        for parameter in self.parameters:
            parameter.grad = None  # zero_grad would take 4 % of a small head's step

    def raise_if_not_finite(self) -> None:
        """Read from the device whether every gradient so far was finite.

        Raises:
            NotFiniteError: one was not; the message names the first such step.
        """
        if self._is_deferred and (first := int(self._first_failure)) != _NONE:
            raise NotFiniteError(_message(*divmod(first, _STEPS)))

    def scaler_state(self) -> dict[str, Tensor]:
        """Return the scale of the loss and the steps since it changed, for a checkpoint."""
        if not self.scaler.is_enabled():
            return {}
        state = self.scaler.state_dict()
        return {name: torch.tensor(state[name], dtype=torch.float64) for name in _SCALER_STATE}

    def restore_scaler(self, tensors: dict[str, Tensor]) -> None:
        """Set the state of the scaler to what :meth:`scaler_state` returned."""
        if tensors:
            state = {name: kind(tensors[name]) for name, kind in _SCALER_STATE.items()}
            self.scaler.load_state_dict({**self.scaler.state_dict(), **state})

    def _step_on_device(self, norm: Tensor, epoch: int, step: int, number: int) -> None:
        failed = ~norm.isfinite()
        self._note_failure(failed, epoch, step)
        # Multiplies by 1 where the norm is small enough: no value is read for the decision.
        torch.nn.utils.clip_grads_with_norm_(self.parameters, self._settings.clip_norm, norm)
        self._add_noise(epoch, step, number)
        self.optimizer.found_inf = failed.float()
        self.optimizer.step()
        del self.optimizer.found_inf

    def _step_now(self, norm: Tensor, epoch: int, step: int, number: int) -> None:
        length = float(norm)
        if not math.isfinite(length):
            if not self.scaler.is_enabled() or not self._is_overflow():
                raise NotFiniteError(_message(epoch, step))
            return
        # Accelerate's own clipping looks for optional packages on the disk at every step.
        if length > self._settings.clip_norm:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self._settings.clip_norm, norm)
        self._add_noise(epoch, step, number)
        self.optimizer.step()

    def _note_failure(self, failed: Tensor, epoch: int, step: int) -> None:
        if self.scaler.is_enabled():
            failed = failed & ~self._is_overflow()
        is_first = failed & (self._first_failure == _NONE)
        self._first_failure.masked_fill_(is_first, epoch * _STEPS + step)

    def _gradients(self) -> list[Tensor]:
        return [p.grad for p in self.parameters if p.grad is not None]

    def _is_overflow(self) -> Tensor:
        """Return whether a smaller scale of the loss may make a norm finite that is not: fp16."""
        largest = whole(torch.nn.utils.get_total_norm(self._gradients(), math.inf))
        return (self.scaler.scale(self._one) >= 1) & ~largest.isfinite()

    def _add_penalties(self) -> None:
        if self._settings.l1:
            regularization.pull_to_zero(self.parameters, self._settings.l1)
        if self._settings.l2_sp:
            regularization.pull_to_start(self._start, self._settings.l2_sp)

    def _add_noise(self, epoch: int, step: int, number: int) -> None:
        variance = self._settings.gradient_noise
        if variance:
            seed = derived_seed(self._seed, epoch, step, -1)  # no rank: the same on all
            regularization.add_noise(self.parameters, variance, number, seed)


def _message(epoch: int, step: int) -> str:
    return (
        f"the gradient is not finite in epoch {epoch}, step {step + 1}: "
        "the weights were left as they were; try a lower lr or a longer warmup_fraction"
    )
