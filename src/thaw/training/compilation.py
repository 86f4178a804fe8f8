"""Compile the network of a phase, if the remaining steps repay it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.system.console import warn

if TYPE_CHECKING:
    from thaw.config.process_sections import CompileSetting
    from thaw.training.rehearsal import Rehearsal

# Seconds of training below which a compiler, which takes about a minute, cannot repay itself: it
# makes a step of a convolutional network 10 to 30 % faster.
_SHORT = 300.0


def decide(wanted: CompileSetting, rehearsal: Rehearsal, steps: int) -> bool:
    """Return whether the network is compiled for the next ``steps`` steps.

    ``auto`` is off on CPUs, where compiling takes longer than it saves. On a GPU it is on if the
    steps are so much faster that they repay the time of the compiler. The first process decides.
    The learner is compiled afterwards, or not, as decided.

    Raises:
        ThawError: ``wanted`` is ``on``, and torch cannot compile the network.
    """
    if wanted == "off" or (wanted == "auto" and rehearsal.runtime.device.type == "cpu"):
        return False
    answer = rehearsal.runtime.answer_of_first
    if wanted == "auto" and not answer(rehearsal.seconds() * steps > _SHORT):
        return False
    eager = rehearsal.seconds()
    start = time.perf_counter()
    rehearsal.learner.network.compile()
    try:
        compiled = rehearsal.seconds()
    except Exception as error:
        # The compiler raises errors of many kinds: no C++ compiler, an operation it does not know.
        rehearsal.learner.network.rewrap(compiled=False)
        reason = str(error).strip().split("\n")[0]
        if wanted == "on":
            raise ThawError(f"launch.compile: torch cannot compile: {reason}: set off") from error
        if rehearsal.runtime.is_main:
            warn(f"launch.compile: torch cannot compile, so that it is off: {reason}")
        return False
    spent = time.perf_counter() - start
    if wanted == "on" or answer((eager - compiled) * steps > spent):
        return True
    rehearsal.learner.network.rewrap(compiled=False)
    return False
