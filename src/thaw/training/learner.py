"""One training step, with the same result in one process and in several."""

from __future__ import annotations

import contextlib
import gc
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from thaw.data.random_draws import derived_seed
from thaw.model.frozen_part import ROUNDING_MULTIPLE, FrozenPart
from thaw.optimizers import registry as optimizers
from thaw.training import regularization
from thaw.training.batch_pieces import kept_momentum, pieces, size_of_pieces
from thaw.training.compiled_network import compiled
from thaw.training.optimizer_step import OptimizerStep
from thaw.training.parameter_groups import parameter_groups
from thaw.training.step_graph import captured

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.optim import Optimizer

    from thaw.data.batches import Batch
    from thaw.model.classifier import Classifier
    from thaw.training.batch_pieces import Piece
    from thaw.training.runtime import Runtime
    from thaw.training.setup import TrainingSetup

# Weights of a head times images, up to which a step of it takes longer on two threads than on one.
_SMALL = 4e6


class Learner:
    """The part of a classifier above a cut, with the optimiser of the parameters that train.

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
        self._seed, self._batch_size = seed, config.images_per_step
        self.parts, self._fewest = 1, 1
        self.piece_size = size_of_pieces(self._batch_size, runtime.world, 1)
        self._loss = regularization.Loss(settings, targets)
        blocks = [p for p in classifier.blocks.parameters() if p.requires_grad]
        size = sum(p.numel() for p in classifier.head.parameters())
        self._is_small = not blocks and size * self._batch_size / runtime.world <= _SMALL
        self._start = [(p, p.detach().clone()) for p in blocks] if settings.l2_sp else []
        self._groups, self._setup = groups, setup
        self._compiled: Any = None
        self._full: Any = None  # what computes full pieces, if not the network itself
        self._frozen = self._first_trained()
        self._split()

    # The next three are made for the first step: a phase without epochs needs none of them.

    @cached_property
    def optimizer(self) -> Optimizer:
        """The optimiser of all parameters of the plan."""
        name = self._setup.settings.optimizer
        return optimizers.build(name, self._groups, fused=self._runtime.asynchronous)

    @cached_property
    def step(self) -> OptimizerStep:
        """The update of the weights."""
        settings = self._setup.regularize
        return OptimizerStep(self._runtime, self.optimizer, settings, self._seed, self._start)

    @cached_property
    def network(self) -> Any:
        """The network above the frozen blocks, in Accelerate's wrapper."""
        return self._runtime.prepare(self._classifier.part(self._frozen))

    def rewrap(self, *, compiled: bool | None = None) -> None:
        """Follow a change of the plan: DistributedDataParallel must be created again for it.

        With ``compiled``, the network is compiled afterwards or not; by default as before.
        """
        is_compiled = self._compiled is not None if compiled is None else compiled
        self.release()
        self._split()
        if self._runtime.shards:
            self.network.plan = self._classifier.plan
        if is_compiled:
            self.compile()

    def release(self) -> None:
        """Drop the wrapped network and all gradients; :meth:`rewrap` makes it again."""
        self._compiled = self._full = None
        if not self._runtime.shards:  # which has no hooks that depend on the plan
            self.__dict__.pop("network", None)  # the old one's hooks on the weights end with it
        for group in self._groups:
            for parameter in group["params"]:
                parameter.grad = None
        self._runtime.accelerator.free_memory()

    def divide(self, parts: int, fewest: int = 1) -> None:
        """Compute each batch in ``parts`` pieces of at least ``fewest`` images.

        The gradients of the pieces are added.
        """
        self.parts, self._fewest = parts, fewest
        self.piece_size = size_of_pieces(self._batch_size, self._runtime.world, parts)
        self.rewrap()

    @property
    def is_compiled(self) -> bool:
        """True after :meth:`compile`."""
        return self._compiled is not None

    def compile(self) -> None:
        """Compile the network for pieces of full size; others are computed as they are."""
        self._compiled = self._full = compiled(self.network)

    def capture(self, inputs: Tensor) -> None:
        """Compute full batches, such as ``inputs``, by CUDA graphs; see :func:`captured`."""
        self.network.train()
        if self._below:
            with torch.no_grad(), self._runtime.autocast():
                inputs = self._below(inputs)
        network = self.network if self._compiled is None else self._compiled
        runtime, is_strict = self._runtime, self.step.is_strict
        with runtime.one_thread(when=self._is_small):
            self._full = captured(network, inputs, runtime.precision, is_strict=is_strict)

    def drop_graphs(self) -> None:
        """Compute full batches without graphs again, and free the memory of the graphs."""
        self._full = self._compiled
        gc.collect()  # the graphs and the function that replays them refer to each other
        torch.cuda.empty_cache()

    def _split(self) -> None:
        """Separate the frozen blocks above the cut from the network that trains.

        In sharded training, a network is divided once: its frozen blocks are those of the first
        plan, which is the widest.
        """
        whole, cut = self._classifier, self._cut
        frozen = self._frozen if self._runtime.shards else self._first_trained()
        self._below: FrozenPart | None = None
        if frozen > cut:
            # Filling up every batch, not the last alone, would cost more than it is worth.
            is_multiple = self.piece_size % ROUNDING_MULTIPLE == 0
            exact = is_multiple and self._batch_size % self._runtime.world == 0
            self._below = FrozenPart(whole.part(cut, frozen), pad_batches=exact)
        self._frozen = frozen

    def _first_trained(self) -> int:
        """Return the cut above which the network trains under the plan of the classifier."""
        whole = self._classifier
        assert whole.plan is not None
        return max(self._cut, whole.outline.readable(whole.plan.cut))

    @property
    def bare(self) -> nn.Module:
        """The network that trains, without Accelerate's wrapper; divided in sharded training."""
        if self._runtime.shards:
            network: nn.Module = self.network
            return network
        return self._classifier.part(self._frozen)

    @property
    def whole(self) -> nn.Module:
        """The network from the inputs of a batch to logits, without Accelerate's wrapper."""
        return nn.Sequential(self._below, self.bare) if self._below else self.bare

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
        runtime = self._runtime
        runtime.seed(derived_seed(self._seed, epoch, step, runtime.rank))
        # A last image that joins the batch before it must not divide a whole batch.
        size = self.piece_size if self.parts > 1 else len(batch.inputs)
        divided = pieces(batch, size, self._fewest)
        losses = []
        with kept_momentum(self._classifier, len(divided)):
            for piece in divided:
                with self._gradients_shared(when=piece is divided[-1]):
                    losses.append(self.accumulate(piece, batch.total).double())
        with runtime.one_thread(when=self._is_small):
            self.step.take(epoch, step, number)
        return runtime.sum(losses[0] if len(losses) == 1 else torch.stack(losses).sum())

    def accumulate(self, piece: Piece, total: float, network: nn.Module | None = None) -> Tensor:
        """Add the gradient of a piece of a batch of ``total`` images; return its sum of losses.

        ``network`` is computed instead of the wrapped or compiled one.
        """
        runtime = self._runtime
        inputs = piece.inputs
        if self._below:
            with torch.no_grad(), runtime.autocast():
                inputs = self._below(inputs)
        if network is None:
            is_full = len(inputs) == self.piece_size
            network = self._full if self._full is not None and is_full else self.network
        with runtime.one_thread(when=self._is_small):
            # As in a capture: for another setting, a compiled network would be compiled again.
            with runtime.precision.autocast(runtime.device, keeps_weights=self._compiled is None):
                outputs = network(inputs)
            losses = self._loss(outputs.float(), piece.targets)
            loss_sum = (losses * piece.weights).sum()
            # DistributedDataParallel averages gradients over the processes: this makes the
            # average the gradient of the mean over the whole batch, whatever the shares are.
            self.step.backward(loss_sum * (runtime.world / total))
        return loss_sum.detach()

    def _gradients_shared(self, when: bool) -> AbstractContextManager[None]:  # noqa: FBT001
        """Exchange gradients between the processes in the backward pass only ``when`` told."""
        # Gradients that are not exchanged would be whole in each process, for which sharded
        # training has no memory.
        if when or self._runtime.world == 1 or self._runtime.shards:
            return contextlib.nullcontext()
        context: AbstractContextManager[None] = self._runtime.accelerator.no_sync(self.network)
        return context
