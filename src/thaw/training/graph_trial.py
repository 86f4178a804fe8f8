"""Try CUDA graphs before the first step, and use them where they give the same bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from thaw.training.runtime import SCORE_BATCH

if TYPE_CHECKING:
    from thaw.training.learner import Learner
    from thaw.training.rehearsal import Rehearsal


def use_graphs(learner: Learner, rehearsal: Rehearsal) -> str:
    """Let ``learner`` compute full batches by graphs, if the bits are the same.

    The gradients and running statistics of two batches are compared. Return why graphs are not
    used, or an empty text.
    """
    if len(rehearsal.batch.inputs) != learner.network.piece_size:
        return "there is no full batch"
    reason = _problem(learner, rehearsal)
    if reason:  # and the error that says so, which keeps the memory of the pass, is gone
        learner.network.drop_graphs()
        rehearsal.restore()
    return reason


def _problem(learner: Learner, rehearsal: Rehearsal) -> str:
    """Capture the graphs, and return why they cannot be used, or an empty text."""
    passes = [(rehearsal, 0), (rehearsal.with_flipped_images(), 1)]
    expected = [each.outcome(seed).tensors for each, seed in passes]
    try:
        learner.network.capture(rehearsal.batch.inputs, is_strict=learner.step.is_strict)
        rehearsal.restore()
        found = [each.outcome(seed).tensors for each, seed in passes]
    except Exception as error:  # torch raises errors of many kinds
        return str(error).strip().split("\n")[0] or type(error).__name__
    is_same = all(
        len(one) == len(other) and all(map(torch.equal, one, other))
        for one, other in zip(expected, found, strict=True)
    )
    if not is_same:
        return "their results differ"
    del expected, found
    # A last batch that is smaller, and validation, are computed without the graphs, which keep
    # their own memory.
    has_memory = rehearsal.fits(1) and rehearsal.can_score(SCORE_BATCH)
    return "" if has_memory else "there is too little memory for them"
