"""One worker of a search: runs trials until the study has enough, then confirms the best ones.

A worker is one process, or ``launch.processes`` of them that train each trial together. Only the
main process (rank 0) asks Optuna for trials; the others follow it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import torch
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

from thaw.config.loading import load
from thaw.config.other_backbones import trial_params
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.search import attempt, confirmation, outages, storage, study, trial, trial_queue
from thaw.search.epoch_reporter import EpochReporter
from thaw.search.outages import StorageAwayError
from thaw.search.rank_messages import broadcast
from thaw.search.shared_heads import shared_heads
from thaw.search.study_definition import StudyDefinition
from thaw.search.trial_context import open_trial_context
from thaw.system.console import say
from thaw.system.processes import die_with_parent, interrupt_once, run_main
from thaw.training.optimizer_step import NotFiniteError
from thaw.training.out_of_memory import MemoryShortageError
from thaw.training.single_image_steps import FewImagesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from optuna.trial import Trial

    from thaw.search.dimension import Dimension
    from thaw.search.storage import HeartbeatStorage
    from thaw.search.trial_context import TrialContext
    from thaw.training.history import EpochRow
    from thaw.training.runtime import Runtime

_POLL_INTERVAL = 0.5  # seconds between two looks at the trials of other workers
_STOP = 0  # sent to the other ranks in place of the number of a trial plus one


@dataclass(frozen=True)
class Worker:
    """A worker on the study of ``definition``."""

    shared: TrialContext
    definition: StudyDefinition
    storage: HeartbeatStorage

    def work(self, name: str, trials: int) -> None:
        """Run trials until the study ``name`` has ``trials`` of them; then confirm the best."""
        main = study.open_study(self.definition, self.storage, name)
        search = self.definition.params.search
        if self._runtime.is_main:
            self.shared.shared_heads = shared_heads(search.artifacts, main, self.storage)
        self._work_on(main, trials)
        if search.confirm_seeds and not search.latency:
            self._runtime.wait()
            again = confirmation.open_confirmation(main, self.definition, self.storage)
            self._work_on(again, 0)

    def _work_on(self, current: optuna.Study, trials: int) -> None:
        if self._runtime.is_main:
            self._lead(current, trials)
        else:
            self._follow(current)

    def _lead(self, current: optuna.Study, trials: int) -> None:
        """Run trials until ``current`` has enough and no other worker may lose one."""

        def objective(taken: Trial) -> list[float]:
            for dimension in self._dimensions(current):
                dimension.suggest(taken)
            broadcast(self._runtime, taken.number + 1)
            return self._train(current, taken.number, taken)

        requeue = partial(trial_queue.requeue_lost, current, self.storage)
        try:
            while True:
                number = trial_queue.run_next(current, self.storage, trials, objective)
                if number is not None:
                    _say_end(current, number)
                elif trial_queue.is_busy(current):
                    time.sleep(_POLL_INTERVAL)
                else:
                    break
        except KeyboardInterrupt:
            requeue()
            raise
        except (ThawError, StorageInternalError):
            outages.repeated_after_outage(self.storage, requeue)
            raise
        broadcast(self._runtime, _STOP)

    def _follow(self, current: optuna.Study) -> None:
        """Train each trial that the main process runs, together with it."""
        while (message := broadcast(self._runtime)) != _STOP:
            with contextlib.suppress(optuna.TrialPruned, UpdateFinishedTrialError):
                self._train(current, message - 1, None)

    def _train(self, current: optuna.Study, number: int, taken: Trial | None) -> list[float]:
        """Train trial ``number`` and return its objectives; ``taken`` is None in other ranks.

        Raises:
            TrialPruned: the trial is poor, or the study has one objective and the trial diverged,
                does not fit into memory, or has steps that BatchNorm cannot normalise. With two
                objectives Optuna cannot prune: NaN is returned, which Optuna counts as failed.
        """
        # All ranks read the values from the storage, so that they are the same.
        stored = trial_queue.trial_of(current, number)
        values = attempt.values_of(stored, self._dimensions(current))
        params = trial_params(self.definition.params, values)
        with _recorded_failures(taken):
            try:
                result, _ = trial.run(self.shared, params, self._reporter(current, taken))
            except (NotFiniteError, MemoryShortageError, FewImagesError) as error:
                if len(current.directions) == 1:
                    raise optuna.TrialPruned(str(error)) from error
                _record(taken, attempt.REASON, str(error))
                return [float("nan") for _ in current.directions]
        _record(taken, attempt.RESULT, json.dumps(asdict(result)))
        return [result.objective(name) for name in self.definition.metrics]

    def _reporter(self, current: optuna.Study, taken: Trial | None) -> Callable[[EpochRow], None]:
        if len(current.directions) > 1 or study.is_confirmation(current):
            return lambda _: None
        pruner = self.definition.params.search.pruner
        return EpochReporter(self._runtime, current.direction, pruner, taken)

    @property
    def _runtime(self) -> Runtime:
        return self.shared.project.runtime

    def _dimensions(self, current: optuna.Study) -> list[Dimension]:
        return [] if study.is_confirmation(current) else self.definition.dimensions


@contextlib.contextmanager
def _recorded_failures(taken: Trial | None) -> Iterator[None]:
    """Store the reason if the block raises because of the trial itself."""
    try:
        yield
    except optuna.TrialPruned as pruned:
        _record(taken, attempt.REASON, str(pruned))
        raise
    except (ThawError, StorageInternalError, UpdateFinishedTrialError):  # interruptions
        raise
    except Exception as error:
        _record(taken, attempt.REASON, f"{type(error).__name__}: {error}")
        raise


def _record(taken: Trial | None, attribute: str, value: str) -> None:
    if taken is not None:
        taken.set_user_attr(attribute, value)


def _say_end(current: optuna.Study, number: int) -> None:
    ended = trial_queue.trial_of(current, number)
    say(f"trial {number}: {ended.state.name.lower()} {ended.user_attrs.get(attempt.REASON, '')}")


def main() -> None:
    """Work on the study that the command line names.

    The exit code is ``outages.EXIT_CODE`` if the database does not answer: another worker can
    continue later.
    """
    try:
        _work()
    except StorageAwayError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(outages.EXIT_CODE)


def _work() -> None:
    die_with_parent()
    parser = argparse.ArgumentParser()
    for name, kind in (("study", str), ("trials", int), ("prepared", Path)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    arguments = parser.parse_args()
    interrupt_once()
    params = load(Params)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    shared = open_trial_context(params, arguments.prepared)
    digest = shared.project.data.manifest.digest
    definition = StudyDefinition.from_params(params, digest, shared.backbones.parent)
    connected = storage.connect(params.search.storage)
    with storage.explain_failures(params.search.storage):
        Worker(shared, definition, connected).work(arguments.study, arguments.trials)


if __name__ == "__main__":
    run_main(main)
