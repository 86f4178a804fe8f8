"""Try CUDA graphs before the first step, and use them where they give the same bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from thaw.training.learner import Learner
    from thaw.training.rehearsal import Rehearsal

_MOMENTS = 2  # of the optimiser for each weight
_SPARE = 0.05  # of the memory of a GPU


def use_graphs(learner: Learner, rehearsal: Rehearsal) -> str:
    """Let ``learner`` compute full batches by graphs, if the bits are the same.

    The gradients and running statistics of two batches are compared. Return why graphs are not
    used, or an empty text.
    """
    if len(rehearsal.batch.inputs) != learner.piece_size:
        return "there is no full batch"
    flipped = rehearsal.with_flipped_images()
    expected = [each.outcome() for each in (rehearsal, flipped)]
    try:
        learner.capture(rehearsal.batch.inputs)
        rehearsal.restore()
        found = [each.outcome() for each in (rehearsal, flipped)]
    except Exception as error:  # torch raises errors of many kinds
        learner.drop_graphs()
        rehearsal.restore()
        return str(error).strip().split("\n")[0]
    is_same = all(
        len(one) == len(other) and all(map(torch.equal, one, other))
        for one, other in zip(expected, found, strict=True)
    )
    if is_same and _leaves_memory(learner):
        return ""
    learner.drop_graphs()
    return "there is too little memory for them" if is_same else "their results differ"


def _leaves_memory(learner: Learner) -> bool:
    """Return whether the optimiser's moments still fit."""
    needed = _MOMENTS * sum(p.nbytes for p in learner.step.parameters)
    free, total = torch.cuda.mem_get_info()
    return bool(free >= needed + _SPARE * total)
