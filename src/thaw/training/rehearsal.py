"""Steps that are tried before training: do they fit into memory, and how long do they take?"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from thaw.training import determinism, trainable_state
from thaw.training.batch_pieces import pieces, size_of_pieces
from thaw.training.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from thaw.data.batches import Batch
    from thaw.model.classifier import Classifier
    from thaw.training.batch_pieces import Piece
    from thaw.training.learner import Learner
    from thaw.training.runtime import Runtime

_WARM_UP, _TIMED = 2, 5  # steps
# What a step needs besides a gradient: the two moments of Adam, and DistributedDataParallel's copy
# of the gradients.
_MOMENTS = 2
_MEMORY_SHARE = 0.95  # of a GPU, so that fragmentation does not end the training later


class Outcome(NamedTuple):
    """The sum of losses of a pass, its gradients, and the buffers afterwards: statistics."""

    loss: Tensor
    gradients: list[Tensor]
    buffers: list[Tensor]

    @property
    def tensors(self) -> list[Tensor]:
        """All of it."""
        return [self.loss, *self.gradients, *self.buffers]


@dataclass(frozen=True)
class Rehearsal:
    """Passes over one real batch, whose gradients are dropped again.

    No weight changes. ``state`` are the tensors of the classifier that training changes; BatchNorm
    counts the images that it sees, so that they are restored after each attempt.
    """

    runtime: Runtime
    classifier: Classifier
    learner: Learner
    batch: Batch
    state: Mapping[str, Tensor]

    def fits(self, parts: int, *, moments: int = _MOMENTS) -> bool:
        """Return whether this process can compute the batch in ``parts`` pieces.

        Nothing is exchanged with other processes. ``moments`` is the number of tensors that an
        optimiser will still allocate for each weight.

        Raises:
            Exception: any error that does not say that memory is exhausted.
        """
        size = size_of_pieces(len(self.batch.inputs), 1, parts)

        def step() -> None:
            copies = moments + (self.runtime.world > 1)
            kept = [
                torch.empty_like(p) for p in self.learner.step.parameters for _ in range(copies)
            ]
            first = pieces(self.batch, size)[0]
            network = self.learner.network.bare.train()
            self.learner.accumulate(first, self.batch.total, network)
            del kept

        return self._has_memory_for(step)

    def can_score(self, images: int) -> bool:
        """Return whether a pass over ``images`` images without gradients fits into memory.

        Raises:
            Exception: any error that does not say that memory is exhausted.
        """

        def score() -> None:
            inputs = torch.cat([self.batch.inputs[:1]] * images)
            with torch.inference_mode(), self.runtime.autocast():
                self.learner.network.whole.eval()(inputs)

        return self._has_memory_for(score)

    def _has_memory_for(self, attempt: Callable[[], None]) -> bool:
        is_gpu = self.runtime.device.type == "cuda"
        if is_gpu:
            torch.cuda.set_per_process_memory_fraction(_MEMORY_SHARE, self.runtime.device)
        try:
            attempt()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return False
        finally:
            self.restore()
            if is_gpu:
                torch.cuda.set_per_process_memory_fraction(1.0, self.runtime.device)
                torch.cuda.empty_cache()
        return True

    def is_deterministic(self) -> bool:
        """Return whether every operation of a backward pass has a deterministic kernel.

        All processes of a sharded training must ask together.

        Raises:
            RuntimeError: the pass failed for another reason.
        """
        size = self.learner.network.piece_size
        self.learner.step.is_strict = True
        try:
            network = self.learner.network.bare.train()
            self.learner.accumulate(pieces(self.batch, size)[0], self.batch.total, network)
        except RuntimeError as error:
            if not determinism.is_refusal(error):
                raise
            return False
        finally:
            self.learner.step.is_strict = False
            self.restore()
        return True

    def seconds(self) -> float:
        """Return the time of the forward and backward passes of a step.

        It is the median of one of its pieces times their number. No gradient is exchanged, so that
        a process may fail while others measure.
        """
        times = []
        divided = pieces(self.batch, self.learner.network.piece_size)
        self.learner.network.train()
        for _ in range(_WARM_UP + _TIMED):
            start = self._now()
            self._pass(divided[0], self.batch.total)
            times.append(self._now() - start)
        self.restore()
        return statistics.median(times[_WARM_UP:]) * len(divided)

    def with_flipped_images(self) -> Rehearsal:
        """Return a rehearsal on the same batch with its images in the reverse order."""
        return replace(self, batch=replace(self.batch, inputs=self.batch.inputs.flip(0)))

    def outcome(self, seed: int) -> Outcome:
        """Return what a pass comes to, without an exchange of gradients.

        ``seed`` is that of random draws, such as dropout. The loss is not scaled: in fp16, the
        gradients of the first steps would overflow, and all overflows are alike.
        """
        self.runtime.seed(seed)
        self.learner.network.train()
        piece = pieces(self.batch, self.learner.network.piece_size)[0]
        scale = self.learner.step.scaler.get_scale()
        loss = self._pass(piece, self.batch.total * scale)
        gradients = [p.grad for p in self.learner.step.parameters if p.grad is not None]
        # Copies: a graph writes the gradients of its next run to the same memory.
        kept = [each.clone() for each in gradients]
        buffers = [each.clone() for each in self.classifier.buffers()]
        found = Outcome(loss.clone(), kept, buffers)
        self.restore()
        return found

    def _pass(self, piece: Piece, total: float) -> Tensor:
        """Compute a piece without an exchange of gradients; return its loss."""
        with self.learner.network.gradients_shared(when=False):
            return self.learner.accumulate(piece, total)

    def _now(self) -> float:
        if self.runtime.device.type == "cuda":
            torch.cuda.synchronize(self.runtime.device)
        return time.perf_counter()

    def restore(self) -> None:
        """Drop all gradients, and restore what the passes have changed."""
        for parameter in self.learner.step.parameters:
            parameter.grad = None
        trainable_state.load(self.classifier, self.state)
