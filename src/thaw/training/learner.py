"""One training step, with the same result in one process and in several."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from thaw.data.random_draws import derived_seed
from thaw.errors import ThawError
from thaw.model.frozen_part import ROUNDING_MULTIPLE, FrozenPart
from thaw.training import optimizers, regularization
from thaw.training.parameter_groups import parameter_groups, parameters_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from thaw.data.loading import Batch
    from thaw.model.classifier import Classifier
    from thaw.training.runtime import Runtime
    from thaw.training.setup import TrainingSetup


# Weights of a head times images, up to which a step of it takes longer on two threads than on one.
_SMALL = 4e6


class NotFiniteError(ThawError):
    """Training has diverged: the gradient or the validation loss is not finite."""


class Learner:
    """The part of a classifier above a cut, with the optimiser of what its plan lets train.

    Frozen blocks above the cut compute the same values as the activation cache, bit by bit if the
    batch size allows it, also in the smaller last batch of an epoch. The optimiser has all
    parameters of the plan. Those that a narrower plan freezes later have no gradient and do not
    change.
    """

    def __init__(
        self,
        runtime: Runtime,
        classifier: Classifier,
        targets: NDArray[np.int64],
        setup: TrainingSetup,
        cut: int,
    ) -> None:
        """Take the targets of the training split, and the cut at which batches enter."""
        config, settings, seed = setup.settings, setup.regularize, setup.seed
        classifier.to(runtime.device)
        groups = parameter_groups(
            classifier, lr=config.lr, lr_decay=setup.lr_decay, weight_decay=config.weight_decay
        )
        self._runtime, self._classifier, self._cut = runtime, classifier, cut
        # Filling up every batch, not the last alone, would cost more than it is worth.
        self._pad_batches = config.batch_size % (ROUNDING_MULTIPLE * runtime.world) == 0
        self._settings, self._seed = settings, seed
        self._loss = regularization.Loss(settings, targets)
        blocks = [p for p in classifier.blocks.parameters() if p.requires_grad]
        size = sum(p.numel() for p in classifier.head.parameters())
        self._is_small = not blocks and size * config.batch_size / runtime.world <= _SMALL
        self._start = [(p, p.detach().clone()) for p in blocks] if settings.l2_sp else []
        self.optimizer: Any = optimizers.build(config.optimizer, groups)
        self._parameters = parameters_of(self.optimizer)
        self.network: Any = None
        self._wrap()

    def rewrap(self) -> None:
        """Follow a change of the plan: DistributedDataParallel must be created again for it."""
        self.network = None  # the old one's hooks on the weights end with it
        self._runtime.accelerator.free_memory()
        self._wrap()

    def _wrap(self) -> None:
        whole, cut = self._classifier, self._cut
        assert whole.plan is not None
        frozen = max(cut, whole.outline.readable(whole.plan.cut))
        self._below: FrozenPart | None = None
        if frozen > cut:
            self._below = FrozenPart(whole.part(cut, frozen), pad_batches=self._pad_batches)
        self._frozen = frozen
        self.network, self.optimizer = self._runtime.prepare(whole.part(frozen), self.optimizer)

    @property
    def whole(self) -> nn.Module:
        """The network from the inputs of a batch to logits, without Accelerate's wrapper.

        The wrapper would turn autocast on; here the caller decides.
        """
        upper = self._classifier.part(self._frozen)
        return nn.Sequential(self._below, upper) if self._below else upper

    def set_rate(self, scale: float) -> None:
        """Set every group's learning rate to ``scale`` times its base."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * scale

    def learn(self, batch: Batch, epoch: int, step: int, number: int) -> float:
        """Take step ``step`` of ``epoch``, which is step ``number`` of the phase, both from 0.

        Return the sum of the losses of the whole batch over all processes, in nats, before the
        step.

        Raises:
            NotFiniteError: the gradient is not finite; the weights are as before the step.
        """
        runtime = self._runtime
        runtime.seed(derived_seed(self._seed, epoch, step, runtime.rank))
        inputs = batch.inputs
        if self._below:
            with torch.no_grad(), runtime.autocast():
                inputs = self._below(inputs)
        with runtime.one_thread(when=self._is_small):
            losses = self._loss(self.network(inputs), batch.targets)
            loss_sum = (losses * batch.weights).sum()
            # DistributedDataParallel averages gradients over the processes: this makes the
            # average the gradient of the mean over the whole batch, whatever the shares are.
            runtime.accelerator.backward(loss_sum * (runtime.world / batch.total))
            runtime.accelerator.unscale_gradients()
            self._regularize(epoch, step, number)
            self.optimizer.step()
        for parameter in self._parameters:
            parameter.grad = None  # zero_grad would take 4 % of a small head's step
        return float(runtime.sum(loss_sum.detach().double()))

    def _regularize(self, epoch: int, step: int, number: int) -> None:
        """Change the gradient of the loss for the optimiser: penalties, clipping, noise."""
        settings, parameters = self._settings, self._parameters
        if settings.l1:
            regularization.pull_to_zero(parameters, settings.l1)
        if settings.l2_sp:
            regularization.pull_to_start(self._start, settings.l2_sp)
        # Accelerate's own clipping looks for optional packages on the disk at every step.
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        length = float(norm)
        # fp16's loss scaler meets overflows as a matter of course and skips those steps itself
        if self._runtime.accelerator.scaler is None and not math.isfinite(length):
            raise NotFiniteError(
                f"the gradient is not finite in epoch {epoch}, step {step + 1}: "
                "the weights were left as they were; try a lower lr or a longer warmup_fraction"
            )
        if not length <= settings.clip_norm:
            torch.nn.utils.clip_grads_with_norm_(parameters, settings.clip_norm, norm)
        if settings.gradient_noise:
            seed = derived_seed(self._seed, epoch, step, -1)  # no rank: the same on all
            regularization.add_noise(parameters, settings.gradient_noise, number, seed)
