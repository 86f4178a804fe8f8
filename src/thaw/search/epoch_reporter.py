"""Epochs of a trial, reported to Optuna's pruner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection

from thaw.search import attempt
from thaw.search.rank_messages import Verdict, broadcast

if TYPE_CHECKING:
    from optuna.trial import Trial

    from thaw.training.history import EpochRow
    from thaw.training.runtime import Runtime


@dataclass(frozen=True)
class EpochReporter:
    """Reports the validation loss of each epoch and ends a poor trial in all ranks.

    ``trial`` is None in all ranks but the main one. ``pruner`` is the name of the pruner.
    """

    runtime: Runtime
    direction: StudyDirection
    pruner: str
    trial: Trial | None

    def __call__(self, row: EpochRow) -> None:
        """Report the epoch ``row``.

        Raises:
            TrialPruned: the trial is worse than others at this epoch.
            UpdateFinishedTrialError: the trial was declared stale; another worker runs it again.
        """
        verdict = broadcast(self.runtime, self._verdict(row))
        if verdict == Verdict.PRUNE:
            raise optuna.TrialPruned(
                f"{self.pruner}: validation loss {row.val_loss:.4f} after epoch {row.epoch} is not "
                "among the best so far"
            )
        if verdict == Verdict.ABANDON:
            raise UpdateFinishedTrialError("the trial was declared stale")

    def _verdict(self, row: EpochRow) -> Verdict:
        if self.trial is None:
            return Verdict.CONTINUE
        lower_is_better = self.direction == StudyDirection.MINIMIZE
        try:
            self.trial.report(row.val_loss if lower_is_better else -row.val_loss, row.epoch)
        except UpdateFinishedTrialError:
            return Verdict.ABANDON
        # The trials with given values (params.yaml, the advice) always run to their end.
        can_be_pruned = row.epoch > 0 and attempt.NAME not in self.trial.user_attrs
        return Verdict.PRUNE if can_be_pruned and self.trial.should_prune() else Verdict.CONTINUE
