"""Estimate the running statistics of every BatchNorm on the data that the model is used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from thaw.data.loading import batch_parts
from thaw.data.random_draws import shuffled
from thaw.system.console import progress
from thaw.training.out_of_memory import shortage_in_scoring

if TYPE_CHECKING:
    from thaw.data.loading import Source
    from thaw.model.classifier import Classifier
    from thaw.training.runtime import Runtime

_BATCH = 128
_FEWEST = 2  # images of a process: one has no variance where its map has one pixel


class _PlainMean:
    """Let running statistics be the plain mean over the calls of a BatchNorm.

    torch does so with the momentum None, too, but reads the number of calls from the device, and
    waits for all of its work.
    """

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, norm: _BatchNorm, _: object) -> None:
        self._calls += 1
        norm.momentum = 1.0 / self._calls


def recalibrate(runtime: Runtime, classifier: Classifier, source: Source, seed: int) -> int:
    """Replace the running statistics by those of ``source``, in place; return their number.

    One pass is made. Each batch is normalised by its own statistics, and the result is the mean
    over the batches and over the processes. Batches have the same size, but the last one may be
    smaller. Nothing else changes.

    Raises:
        MemoryShortageError: a batch does not fit into memory.

    Source: Li et al. 2017, Revisiting Batch Normalization For Practical Domain Adaptation.
    """
    norms = [
        module
        for module in classifier.modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]
    classifier.to(runtime.device).eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    hooks = [norm.register_forward_pre_hook(_PlainMean()) for norm in norms]
    count = -(-len(source) // _BATCH)
    # Shuffled: ids ascend by class, and the variance within batches of one class each would leave
    # out that between the classes.
    order = shuffled(len(source), seed, 0)
    size = -(-len(source) // count)
    # Where there are too few images for all processes, each of them reads all.
    is_shared = len(source) >= _FEWEST * runtime.world
    parts = (
        runtime.batch_parts(order, size, _FEWEST)
        if is_shared
        else batch_parts(order, size, fewest=_FEWEST)
    )
    batches = runtime.load(source, parts)
    images = len(parts[0].indices)
    with torch.no_grad(), shortage_in_scoring("statistics", images, runtime.device):
        for batch in progress(batches, "statistics", len(parts), show=runtime.is_main):
            classifier(batch.inputs)
    for norm, momentum, hook in zip(norms, momenta, hooks, strict=True):
        hook.remove()
        norm.momentum = momentum
        for buffer in (norm.running_mean, norm.running_var):
            assert buffer is not None
            buffer.copy_(runtime.sum(buffer) / runtime.world)
    classifier.eval()
    return len(norms)
