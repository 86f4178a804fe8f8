"""Choices of a phase that are measured: the pieces of a batch, and whether it is compiled.

Both change the rounding of results. They are stored before the first step, so that a training that
was killed continues with the same ones, and the same training on the same device repeats them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from thaw.system.console import say, warn
from thaw.system.files import write_whole
from thaw.system.quantities import quantity
from thaw.training import compilation, graph_trial, memory_fit
from thaw.training.batch_statistics import is_synchronised
from thaw.training.determinism import use_plain_attention

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from thaw.training.learner import Learner
    from thaw.training.rehearsal import Rehearsal
    from thaw.training.runtime import Runtime
    from thaw.training.setup import TrainingSetup

_NOT_COMPILED = (
    "GPUs with so few images at once synchronise BatchNorm, which is not compiled: set "
    "launch.compile to off, or a larger batch_size"
)
_WORTH_GRAPHS = 50  # steps; a capture takes as long as about ten


@dataclass(frozen=True)
class StepChoices:
    """The pieces in which a process computes its images of a step; whether they are compiled."""

    parts: int = 1
    compiled: bool = False


@dataclass(frozen=True)
class StepChooser:
    """Chooses how the learner of a phase computes a step.

    ``path`` is the file of choices that were measured earlier. ``rehearse`` makes the rehearsal
    for measurements. ``fewest`` is the smallest number of images that BatchNorm can normalise.
    """

    runtime: Runtime
    setup: TrainingSetup
    path: Path | None
    rehearse: Callable[[], Rehearsal]
    fewest: int

    def apply(self, learner: Learner, steps: int) -> StepChoices:
        """Divide and compile what ``learner`` computes in a phase of ``steps`` steps.

        Choices are read from the file, if it holds those of this device and number of processes.
        Else they are measured, and written there. Nothing is measured for values that the setup
        gives. All processes make the same choices.

        Raises:
            MemoryShortageError: no number of pieces fits into memory.
            ThawError: the network cannot be compiled, but has to be.
        """
        parts = self.setup.accumulate
        if parts not in {"auto", learner.parts}:
            learner.divide(int(parts), self.fewest)
        if self.runtime.asynchronous:
            self._make_deterministic(learner)
        if parts != "auto" and self._is_never_compiled:
            choices = StepChoices(parts)
        else:
            stored = _read(self.runtime, self.path) if self.runtime.is_main else None
            choices = _shared(self.runtime, stored) or self._measure(steps)
        if choices.parts != learner.parts:
            learner.divide(choices.parts, self.fewest)
        if choices.compiled != learner.network.is_compiled:
            learner.network.rewrap(compiled=choices.compiled)
        if self._is_graphed(learner, steps):
            reason = graph_trial.use_graphs(learner, self.rehearse())
            if reason:
                say(f"resources.cuda_graphs: off ({reason})")
        return choices

    def _is_graphed(self, learner: Learner, steps: int) -> bool:
        """Return whether CUDA graphs are tried: in one process, not for what changes between steps.

        DistributedDataParallel exchanges gradients in the backward pass, which is not captured.
        """
        is_single = self.runtime.device.type == "cuda" and self.runtime.world == 1
        changes = learner.parts > 1 or self.setup.gradual_epochs > 0
        return self.setup.graphs and is_single and not changes and steps >= _WORTH_GRAPHS

    def _make_deterministic(self, learner: Learner) -> None:
        """Let a GPU take deterministic kernels in every backward pass, if the network has them.

        The kind of attention is settled by that. It decides how much memory and time a step takes,
        and a network that is compiled keeps it. Where the parts are not known yet, the smallest
        one is tried: in a training that is resumed, too, so that the answer is the same.
        """
        with self._shortage_explained():
            rehearsal = self.rehearse()
            if self.setup.accumulate == "auto":
                learner.divide(memory_fit.most_parts(rehearsal), self.fewest)
            learner.step.is_strict = rehearsal.is_deterministic()
        if not learner.step.is_strict:
            use_plain_attention()

    def _shortage_explained(self) -> AbstractContextManager[None]:
        return memory_fit.shortage_explained(self.rehearse, lambda: "before the first step")

    @property
    def _is_never_compiled(self) -> bool:
        wanted, runtime = self.setup.compile, self.runtime
        # Blocks that are gathered for each pass are not compiled.
        is_unfit = runtime.device.type == "cpu" or runtime.shards
        return wanted == "off" or (wanted == "auto" and is_unfit)

    def _measure(self, steps: int) -> StepChoices:
        """Return measured choices, with which the learner works afterwards."""
        rehearsal = self.rehearse()
        parts = self.setup.accumulate
        if parts == "auto":
            parts = memory_fit.fewest_parts(rehearsal)
        rehearsal.learner.divide(parts, self.fewest)
        with self._shortage_explained():
            found = StepChoices(parts, self._is_compiled(rehearsal, steps))
        if self.runtime.is_main:
            self._report(found)
            if self.path is not None:
                content = {**asdict(found), **_place(self.runtime)}
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self.path, json.dumps(content).encode())
        return found

    def _is_compiled(self, rehearsal: Rehearsal, steps: int) -> bool:
        """Return whether the network is compiled.

        With synchronised BatchNorm it is not. Compiled steps have to be tried before they are used,
        and those would exchange statistics: a process that fails would leave the others waiting.
        """
        setup, parts = self.setup, rehearsal.learner.parts
        if not is_synchronised(self.runtime, rehearsal.classifier, setup, parts):
            return compilation.decide(setup.compile, rehearsal, steps)
        if setup.compile == "on" and self.runtime.is_main:
            warn(f"launch.compile: off: {_NOT_COMPILED}")
        return False

    def _report(self, found: StepChoices) -> None:
        if self.setup.accumulate == "auto":
            say(f"launch.accumulate auto: a step is computed in {quantity(found.parts, 'part')}")
        if self.setup.compile == "auto" and self.runtime.device.type != "cpu":
            say(f"launch.compile auto: {'on' if found.compiled else 'off'}")


def _place(runtime: Runtime) -> dict[str, object]:
    """Return what the choices were measured on."""
    is_gpu = runtime.device.type == "cuda"
    name = torch.cuda.get_device_name(runtime.device) if is_gpu else runtime.device.type
    return {"device": name, "processes": runtime.world}


def _read(runtime: Runtime, path: Path | None) -> StepChoices | None:
    try:
        content = json.loads(path.read_text()) if path is not None else {}
        if any(content.get(key) != value for key, value in _place(runtime).items()):
            return None
        return StepChoices(int(content["parts"]), bool(content["compiled"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _shared(runtime: Runtime, choices: StepChoices | None) -> StepChoices | None:
    """Return the choices of the first process."""
    own = [choices.parts, choices.compiled] if choices is not None else [0, 0]
    parts, compiled = runtime.sum(torch.tensor(own, dtype=torch.float64)).tolist()
    return StepChoices(int(parts), bool(compiled)) if parts else None
