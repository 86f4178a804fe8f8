"""The network of a training phase: frozen blocks, and the part that trains in its wrappers."""

from __future__ import annotations

import contextlib
import gc
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from thaw.model.frozen_part import ROUNDING_MULTIPLE, FrozenPart
from thaw.training.batch_pieces import size_of_pieces
from thaw.training.compiled_network import compiled
from thaw.training.step_graph import captured

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor

    from thaw.model.classifier import Classifier
    from thaw.training.runtime import Runtime

# Weights of a head times images, up to which a step of it takes longer on two threads than on one.
_SMALL = 4e6


class TrainedNetwork:
    """The blocks and the head above a cut: what is frozen, and above it what trains.

    Frozen blocks compute the same values as the activation cache, bit by bit if the batch size
    allows it, also in the smaller last batch of an epoch. What trains is in the wrapper of
    Accelerate, and for full pieces it may be compiled or a CUDA graph.

    Attributes:
        full_size: Images of this process in a full batch.
        piece_size: Those of them that it computes at once.
    """

    def __init__(self, runtime: Runtime, classifier: Classifier, cut: int, batch_size: int) -> None:
        """Take the cut at which batches enter, and the images of a step over all processes."""
        self._runtime, self._classifier, self._cut = runtime, classifier, cut
        self._batch_size = batch_size
        self.full_size = self.piece_size = size_of_pieces(batch_size, runtime.world, 1)
        has_blocks = any(p.requires_grad for p in classifier.blocks.parameters())
        size = sum(p.numel() for p in classifier.head.parameters())
        self._is_small = not has_blocks and size * batch_size / runtime.world <= _SMALL
        self._compiled: Any = None
        self._full: Any = None  # what computes full pieces, if not the network itself
        self._frozen = self._first_trained()
        self._split()

    @cached_property
    def wrapped(self) -> Any:
        """The part that trains, in Accelerate's wrapper; a phase without epochs makes none."""
        return self._runtime.prepare(self._classifier.part(self._frozen))

    @property
    def bare(self) -> nn.Module:
        """The part that trains, without Accelerate's wrapper; divided in sharded training."""
        if self._runtime.shards:
            network: nn.Module = self.wrapped
            return network
        return self._classifier.part(self._frozen)

    @property
    def whole(self) -> nn.Module:
        """The network from the inputs of a batch to logits, without Accelerate's wrapper."""
        return nn.Sequential(self._below, self.bare) if self._below else self.bare

    def train(self) -> None:
        """Set the part that trains to training mode."""
        self.wrapped.train()

    def divide(self, parts: int) -> None:
        """Compute each batch in ``parts`` pieces."""
        self.piece_size = size_of_pieces(self._batch_size, self._runtime.world, parts)
        self.rewrap()

    def rewrap(self, *, compiled: bool | None = None) -> None:
        """Follow a change of the plan: DistributedDataParallel must be created again for it.

        With ``compiled``, the network is compiled afterwards or not; by default as before.
        """
        is_compiled = self.is_compiled if compiled is None else compiled
        self.release()
        self._split()
        if self._runtime.shards:
            self.wrapped.plan = self._classifier.plan
        if is_compiled:
            self.compile()

    def release(self) -> None:
        """Drop the wrapped network and all gradients; :meth:`rewrap` makes it again."""
        self._compiled = self._full = None
        if not self._runtime.shards:  # which has no hooks that depend on the plan
            self.__dict__.pop("wrapped", None)  # the old one's hooks on the weights end with it
        for parameter in self._classifier.parameters():
            parameter.grad = None
        self._runtime.accelerator.free_memory()

    @property
    def is_compiled(self) -> bool:
        """True after :meth:`compile`."""
        return self._compiled is not None

    def compile(self) -> None:
        """Compile the network for pieces of full size; others are computed as they are."""
        self._compiled = self._full = compiled(self.wrapped)

    def capture(self, inputs: Tensor, *, is_strict: bool) -> None:
        """Compute full batches, such as ``inputs``, by CUDA graphs; see :func:`captured`."""
        self.train()
        inputs = self.frozen_outputs(inputs)
        network = self.wrapped if self._compiled is None else self._compiled
        with self.few_threads():
            self._full = captured(network, inputs, self._runtime.precision, is_strict=is_strict)

    def close(self) -> None:
        """Free the memory of graphs at the end of a phase; the network can compute afterwards."""
        if self._full is not self._compiled:
            # After an error of CUDA every call raises it again. This one must not hide the first.
            with contextlib.suppress(RuntimeError):
                self.drop_graphs()

    def drop_graphs(self) -> None:
        """Compute full batches without graphs again, and free the memory of the graphs."""
        self._full = self._compiled
        gc.collect()  # the graphs and the function that replays them refer to each other
        torch.cuda.empty_cache()

    def frozen_outputs(self, inputs: Tensor) -> Tensor:
        """Return what the frozen blocks make of the inputs of a batch, without gradients."""
        if not self._below:
            return inputs
        with torch.no_grad(), self._runtime.autocast():
            outputs: Tensor = self._below(inputs)
        return outputs

    def logits(self, inputs: Tensor, network: nn.Module | None = None) -> Tensor:
        """Return the logits (images, classes) of what :meth:`frozen_outputs` returned, in float32.

        ``network`` is computed instead of the wrapped or compiled one.
        """
        if network is None:
            is_full = len(inputs) == self.piece_size
            network = self._full if self._full is not None and is_full else self.wrapped
        precision, device = self._runtime.precision, self._runtime.device
        # As in a capture: for another setting, a compiled network would be compiled again.
        with precision.autocast(device, keeps_weights=not self.is_compiled):
            outputs: Tensor = network(inputs)
        return outputs.float()

    def few_threads(self) -> AbstractContextManager[None]:
        """Compute in one thread, if the part that trains is so small that more would not help."""
        return self._runtime.one_thread(when=self._is_small)

    def gradients_shared(self, *, when: bool) -> AbstractContextManager[None]:
        """Exchange gradients between the processes in the backward pass only ``when`` told."""
        # Gradients that are not exchanged would be whole in each process, for which sharded
        # training has no memory.
        if when or self._runtime.world == 1 or self._runtime.shards:
            return contextlib.nullcontext()
        context: AbstractContextManager[None] = self._runtime.accelerator.no_sync(self.wrapped)
        return context

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
