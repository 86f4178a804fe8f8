"""One training step, with the same result in one process and in several."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch

from thaw.data.random_draws import derived_seed
from thaw.optimizers import registry as optimizers
from thaw.training import regularization
from thaw.training.batch_pieces import kept_momentum, pieces
from thaw.training.optimizer_step import OptimizerStep
from thaw.training.parameter_groups import parameter_groups
from thaw.training.trained_network import TrainedNetwork

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from thaw.data.batches import Batch
    from thaw.model.classifier import Classifier
    from thaw.training.batch_pieces import Piece
    from thaw.training.runtime import Runtime
    from thaw.training.setup import TrainingSetup


class Learner:
    """The steps of a training phase: the network above a cut, its loss and its optimiser.

    The optimiser has all parameters of the plan. Those that a narrower plan freezes later have no
    gradient and do not change.

    Attributes:
        network: The network above the cut.
        parts: The pieces in which a batch is computed.
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
        config, settings = setup.settings, setup.regularize
        classifier.to(runtime.device)
        self._groups = parameter_groups(
            classifier, lr=config.lr, lr_decay=setup.lr_decay, weight_decay=config.weight_decay
        )
        self._runtime, self._classifier, self._setup = runtime, classifier, setup
        self._loss = regularization.Loss(settings, targets)
        blocks = [p for p in classifier.blocks.parameters() if p.requires_grad]
        self._start = [(p, p.detach().clone()) for p in blocks] if settings.l2_sp else []
        self.network = TrainedNetwork(runtime, classifier, cut, config.images_per_step)
        self.parts, self._fewest = 1, 1

    # The next two are made for the first step: a phase without epochs needs neither.

    @cached_property
    def optimizer(self) -> Optimizer:
        """The optimiser of all parameters of the plan."""
        name = self._setup.settings.optimizer
        return optimizers.build(name, self._groups, fused=self._runtime.asynchronous)

    @cached_property
    def step(self) -> OptimizerStep:
        """The update of the weights."""
        setup = self._setup
        return OptimizerStep(
            self._runtime, self.optimizer, setup.regularize, setup.seed, self._start
        )

    def divide(self, parts: int, fewest: int = 1) -> None:
        """Compute each batch in ``parts`` pieces of at least ``fewest`` images.

        The gradients of the pieces are added.
        """
        self.parts, self._fewest = parts, fewest
        self.network.divide(parts)

    def set_rate(self, scale: float) -> None:
        """Set every group's learning rate to ``scale`` times its base."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * scale

    def learn(self, batch: Batch, epoch: int, step: int, number: int) -> Tensor:
        """Take step ``step`` of ``epoch``, which is step ``number`` of the phase, both from 0.

        Return the sum of the losses of the whole batch over all processes, in nats, before the
        step: a float64 scalar that is still on the device.

        Raises:
            NotFiniteError: see :class:`thaw.training.optimizer_step.OptimizerStep`.
        """
        runtime, network = self._runtime, self.network
        runtime.seed(derived_seed(self._setup.seed, epoch, step, runtime.rank))
        # A last image that joins the batch before it must not divide a whole batch.
        size = network.piece_size if self.parts > 1 else len(batch.inputs)
        divided = pieces(batch, size, self._fewest)
        losses = []
        with kept_momentum(self._classifier, len(divided)):
            for piece in divided:
                with network.gradients_shared(when=piece is divided[-1]):
                    losses.append(self.accumulate(piece, batch.total).double())
        with network.few_threads():
            self.step.take(epoch, step, number)
        return runtime.sum(losses[0] if len(losses) == 1 else torch.stack(losses).sum())

    def accumulate(self, piece: Piece, total: float, network: nn.Module | None = None) -> Tensor:
        """Add the gradient of a piece of a batch of ``total`` images; return its sum of losses.

        ``network`` is computed instead of the wrapped or compiled one.
        """
        inputs = self.network.frozen_outputs(piece.inputs)
        with self.network.few_threads():
            losses = self._loss(self.network.logits(inputs, network), piece.targets)
            loss_sum = (losses * piece.weights).sum()
            # DistributedDataParallel averages gradients over the processes: this makes the
            # average the gradient of the mean over the whole batch, whatever the shares are.
            self.step.backward(loss_sum * (self._runtime.world / total))
        return loss_sum.detach()
