"""Compile the network of a phase, if it computes the same and the remaining steps repay it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from thaw.errors import ThawError
from thaw.system.console import warn
from thaw.training.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from thaw.config.process_sections import CompileSetting
    from thaw.training.rehearsal import Outcome, Rehearsal

# Seconds of training below which a compiler, which takes about a minute, cannot repay itself: it
# makes a step of a convolutional network 10 to 30 % faster.
_SHORT = 300.0
# The largest difference of a compiled step from the same one without the compiler, by precision:
# relative, of the loss, of all gradients and of the statistics. A compiled network rounds between
# fewer operations. Gradients of a ResNet-18 on a CPU differed by 1e-6 in fp32 and by 0.03 in bf16,
# which itself changes them by 0.13 (2026-11-30). Deeper networks differ more.
TOLERANCES = {"fp32": 0.001, "tf32": 0.05, "fp16": 0.05, "bf16": 0.2}
_SEED = 0  # of dropout in the steps that are compared
_DIFFERS_ELSEWHERE = "a compiled step differs in another process"
_FAILS_ELSEWHERE = "a compiled step failed in another process"


@dataclass(frozen=True)
class _Trial:
    """Compiled passes in this process: their time, why they failed, or how they differ."""

    seconds: float = 0.0
    failure: str = ""
    difference: str = ""


def decide(wanted: CompileSetting, rehearsal: Rehearsal, steps: int) -> bool:
    """Return whether the network is compiled for the next ``steps`` steps.

    ``auto`` is off on CPUs, where compiling takes longer than it saves. On a GPU it is on if the
    steps are so much faster that they repay the time of the compiler. The first process decides.
    The network is not compiled if that changes the loss, gradients or statistics of a step by more
    than ``TOLERANCES`` in any process. The learner is compiled afterwards, or not, as decided.

    Raises:
        ThawError: ``wanted`` is ``on``, and torch cannot compile the network in every process, or
            a compiled step does not fit into memory.
    """
    if wanted == "off" or (wanted == "auto" and rehearsal.runtime.device.type == "cpu"):
        return False
    runtime, network = rehearsal.runtime, rehearsal.learner.network
    if wanted == "auto" and not runtime.answer_of_first(rehearsal.seconds() * steps > _SHORT):
        return False
    eager = rehearsal.seconds()
    expected = rehearsal.outcome(_SEED)
    start = time.perf_counter()
    trial = _try(rehearsal, expected)
    del expected  # as much memory as the gradients
    spent = time.perf_counter() - start
    # A process that failed must not leave the others waiting: all of them ask the same questions.
    can_compile = runtime.all_agree(not trial.failure)
    is_close = runtime.all_agree(not trial.difference)
    gain = (eager - trial.seconds) * steps
    is_worth_it = runtime.answer_of_first(wanted == "on" or gain > spent)
    if can_compile and is_close and is_worth_it:
        return True
    network.rewrap(compiled=False)
    rehearsal.restore()
    problem = "" if is_close else f"off: {trial.difference or _DIFFERS_ELSEWHERE}"
    if not can_compile:
        reason = trial.failure or _FAILS_ELSEWHERE
        if wanted == "on":
            raise ThawError(f"launch.compile: {reason}: set off")
        problem = f"off: {reason}"
    if problem and runtime.is_main:
        warn(f"launch.compile: {problem}")
    return False


def _try(rehearsal: Rehearsal, expected: Outcome) -> _Trial:
    """Compile the network and compute passes, none of which exchanges gradients."""
    try:
        rehearsal.learner.network.compile()
        difference = _difference(rehearsal, expected)
        return _Trial(rehearsal.seconds(), difference=difference)
    except Exception as error:
        if is_out_of_memory(error):
            device = rehearsal.runtime.device
            return _Trial(failure=f"a compiled step does not fit into the memory of {device}")
        # The compiler raises errors of many kinds: no C++ compiler, an operation it does not know.
        text = str(error).strip().split("\n")[0] or type(error).__name__
        return _Trial(failure=f"torch cannot compile: {text}")


def _difference(rehearsal: Rehearsal, expected: Outcome) -> str:
    """Return how the same step differs from what is ``expected``; nothing within the tolerance."""
    found, name = rehearsal.outcome(_SEED), rehearsal.runtime.precision.name
    distances = {
        "loss": distance([found.loss], [expected.loss]),
        "gradients": distance(found.gradients, expected.gradients),
        "statistics": distance(found.buffers, expected.buffers),
    }
    beyond = [
        f"its {what} by {value:.1g}"
        for what, value in distances.items()
        if not value <= TOLERANCES[name]  # also where it is no number
    ]
    if not beyond:
        return ""
    most = f"{TOLERANCES[name]:g} is the most in {name}"
    return f"a compiled step differs ({', '.join(beyond)}; {most})"


def distance(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the length of the difference of all numbers of ``expected``, relative to theirs."""
    if len(found) != len(expected):
        return float("inf")
    pairs = [(a, b) for a, b in zip(found, expected, strict=True) if b.is_floating_point()]
    length, difference = _length(b for _, b in pairs), _length(a - b for a, b in pairs)
    return difference / length if length else difference


def _length(tensors: Iterable[Tensor]) -> float:
    norm = torch.linalg.vector_norm
    squares = [float(norm(tensor, dtype=torch.float64)) ** 2 for tensor in tensors]
    return math.sqrt(sum(squares))
