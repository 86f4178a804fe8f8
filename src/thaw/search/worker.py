"""One worker of a search: takes trials until there are enough, then helps to confirm the best.

A process of its own, or as many as ``launch.processes`` that train each trial together.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import optuna
import torch
from optuna.study import StudyDirection
from optuna.trial import TrialState

from thaw.config.loading import load
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.search import confirmation, search_space, storage, study, trial, trial_context
from thaw.search.study_definition import Question
from thaw.system.console import say
from thaw.system.processes import die_with_parent, run_main
from thaw.training.learner import NotFiniteError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import Trial

    from thaw.search.trial import Result
    from thaw.search.trial_context import Ground
    from thaw.training.history import Row

_PAUSE = 0.5  # seconds between looks at what other workers do


@dataclass(frozen=True)
class Worker:
    """What a worker works with."""

    ground: Ground
    question: Question
    storage: RDBStorage

    def work(self, name: str, number: int, trials: int) -> None:
        """Run trials of the study until it has ``trials`` of them; then confirm."""
        main = study.open_study(self.question, self.storage, name, number)
        self._run_all(main, trials)
        if self.question.params.search.confirm_seeds and not self.question.params.search.latency:
            self.ground.runtime.wait()
            again = confirmation.open_confirm(main, self.question, self.storage)
            self._run_all(again, 0)

    def _run_all(self, main: optuna.Study, trials: int) -> None:
        try:
            while (claimed := self._next(main, trials)) is not None:
                self._run(main, *claimed)
        except (KeyboardInterrupt, ThawError) as error:
            # Wherever it came, also between two trials: the storage knows what this process runs.
            if self.ground.runtime.is_main:
                study.give_back(main, self.storage, str(error) or "interrupted")
            raise

    def _next(self, main: optuna.Study, trials: int) -> tuple[Trial | None, dict[str, Any]] | None:
        """The next trial of the first process, and its values for all of them; None at the end."""
        taken, number = None, -1
        if self.ground.runtime.is_main:
            while (taken := study.claim(main, self.storage, trials)) is None:
                if not study.is_busy(main):
                    break
                time.sleep(_PAUSE)  # a trial still runs elsewhere: if it dies, it is run here
            if taken is not None:
                study.sample(taken, self._dimensions(main))
                number = taken.number
        number = int(self._agreed(number + 1)) - 1
        if number < 0:
            return None
        # From the storage, so that all processes have the same.
        kept = next(t for t in main.get_trials(deepcopy=False) if t.number == number)
        return taken, study.values_of(kept, self._dimensions(main))

    def _dimensions(self, main: optuna.Study) -> list[search_space.Dimension]:
        return [] if main.study_name.endswith(study.CONFIRM) else self.question.dimensions

    def _agreed(self, value: float) -> float:
        """What the first process says, in all of them."""
        mine = value if self.ground.runtime.is_main else 0.0
        return float(self.ground.runtime.sum(torch.tensor(mine, dtype=torch.float64)))

    def _run(self, main: optuna.Study, taken: Trial | None, values: dict[str, Any]) -> None:
        with contextlib.ExitStack() as stack:
            if taken is not None:
                stack.enter_context(study.alive(self.storage, taken))
            try:
                params = search_space.changed(self.question.params, values)
                watch = _Watch(self, main, taken)
                result, _ = trial.run(self.ground, params, watch)
                self._finish(main, taken, TrialState.COMPLETE, "", result)
            except optuna.TrialPruned as pruned:
                self._finish(main, taken, TrialState.PRUNED, str(pruned))
            except NotFiniteError as error:  # it diverged: that is an answer, too
                state = TrialState.FAIL if len(main.directions) > 1 else TrialState.PRUNED
                self._finish(main, taken, state, str(error))
            except ThawError:  # a full disk, say: no fault of the trial's, which is given back
                raise
            except Exception as error:
                self._finish(main, taken, TrialState.FAIL, f"{type(error).__name__}: {error}")
                raise

    def _finish(
        self, main: optuna.Study, taken: Trial | None, state: TrialState, why: str,
        result: Result | None = None,
    ) -> None:  # fmt: skip
        if taken is not None:
            study.finish(main, taken, state, why, result, self.question.metrics)
            say(f"trial {taken.number}: {state.name.lower()} {why}")


@dataclass(frozen=True)
class _Watch:
    """Reports each epoch's validation loss; ends the trial, in all processes, where it is poor."""

    worker: Worker
    main: optuna.Study
    taken: Trial | None

    def __call__(self, row: Row) -> None:
        """Report ``row``.

        Raises:
            optuna.TrialPruned: the trial is not worth its time.
        """
        if len(self.main.directions) > 1 or self.main.study_name.endswith(study.CONFIRM):
            return
        is_poor = False
        if self.taken is not None:
            lower_is_better = self.main.direction == StudyDirection.MINIMIZE
            self.taken.report(row.val_loss if lower_is_better else -row.val_loss, row.epoch)
            # What was there before the search, and the advice, are heard to the end.
            may_end = row.epoch > 0 and "name" not in self.taken.user_attrs
            is_poor = may_end and self.taken.should_prune()
        if self.worker._agreed(float(is_poor)):
            pruner = self.worker.question.params.search.pruner
            raise optuna.TrialPruned(
                f"{pruner}: validation loss {row.val_loss:.4f} after epoch {row.epoch} is not "
                "among the best so far"
            )


def main() -> None:
    """Work on the study that the command line names."""
    die_with_parent()
    parser = argparse.ArgumentParser()
    for name, kind in (("study", str), ("number", int), ("trials", int), ("prepared", Path)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt_once)
    signal.signal(signal.SIGINT, _interrupt_once)
    params = load(Params)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    opened = trial_context.opened(params, arguments.prepared)
    question = Question.of(params, opened.data.manifest.digest, opened.parent)
    connected = storage.connect(params.search.storage)
    with storage.answering(params.search.storage):
        Worker(opened, question, connected).work(
            arguments.study, arguments.number, arguments.trials
        )


def _interrupt_once(signum: int, frame: object) -> NoReturn:  # noqa: ARG001
    for name in (signal.SIGTERM, signal.SIGINT):  # a second one would disturb the tidying up
        signal.signal(name, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    run_main(main)
