"""Sharded training: weights, gradients and optimiser state are divided among the processes.

torch calls it FSDP2. Each process keeps a part of every parameter (a ``DTensor``), and all of them
gather a block while it is computed. It is for backbones of which a whole copy, with its gradients
and the state of the optimiser, does not fit into one device.

Source: Zhao et al. 2023, PyTorch FSDP; Rajbhandari et al. 2020, ZeRO stage 3.
"""

from __future__ import annotations

import copy
import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from thaw.errors import ThawError
from thaw.training import trainable_state
from thaw.training.divided_tensors import divide, is_divided, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thaw.model.classifier import Classifier
    from thaw.training.runtime import Runtime


@contextmanager
def divided(runtime: Runtime, classifier: Classifier, cut: int) -> Iterator[Classifier]:
    """Yield what trains: ``classifier`` itself, or in sharded training a divided copy of it.

    The head and each block from the first one that trains (or from ``cut``) are divided. Blocks
    below it are the same modules in both. At the end, all processes put the weights together in
    ``classifier``, one tensor after the other, in the memory of the CPU.

    Raises:
        ThawError: a parameter that trains was not divided.
    """
    if not runtime.shards:
        yield classifier
        return
    working = _divided_copy(runtime, classifier, cut)
    yield working
    assert classifier.plan is not None
    trained = trainable_state.state(working, classifier.plan)
    trainable_state.load(classifier, {name: whole(value).cpu() for name, value in trained.items()})


def _divided_copy(runtime: Runtime, classifier: Classifier, cut: int) -> Classifier:
    plan, outline = classifier.plan, classifier.outline
    assert plan is not None
    first = max(cut, outline.readable(plan.cut))
    for module in (*classifier.blocks[first:], classifier.head):
        module.cpu()  # whole copies do not stay on the device
    shared = {id(block): block for block in itertools.islice(classifier.blocks, first)}
    working = copy.deepcopy(classifier, dict(shared))
    for module in (*working.blocks[first:], working.head):
        contiguous = module.to(memory_format=torch.contiguous_format)
        divide(contiguous, runtime.device, runtime.world)
    _refuse_whole_parameters(working)
    return working


def _refuse_whole_parameters(classifier: Classifier) -> None:
    """Raise if a parameter that trains is no DTensor: each process would train on its own."""
    found = [
        name
        for name, parameter in classifier.named_parameters()
        if parameter.requires_grad and not is_divided(parameter)
    ]
    if found:
        raise ThawError(
            f"launch.shard: torch did not divide {len(found)} parameters among the processes (the "
            f"first is {found[0]}): set launch.shard to off"
        )
