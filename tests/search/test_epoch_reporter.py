from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection

from thaw.search.epoch_reporter import EpochReporter
from thaw.training.history import EpochRow


class OneProcess:
    """A runtime with a single process."""

    is_main = True

    def sum(self, value: Any) -> Any:
        return value


def reporter(trial: optuna.Trial, direction: StudyDirection) -> EpochReporter:
    runtime: Any = OneProcess()
    return EpochReporter(runtime, direction, "hyperband", trial)


def row(epoch: int, loss: float) -> EpochRow:
    return EpochRow(epoch, 0.5, loss, 0.5, 0.001)


@pytest.mark.parametrize(
    ("direction", "reported"), [(StudyDirection.MINIMIZE, 0.3), (StudyDirection.MAXIMIZE, -0.3)]
)
def test_the_loss_is_reported_in_the_direction_of_the_study(
    direction: StudyDirection, reported: float
) -> None:
    study = optuna.create_study(direction=direction)
    trial = study.ask()
    reporter(trial, direction)(row(2, 0.3))
    assert study.trials[0].intermediate_values == {2: reported}


@pytest.mark.parametrize(("epoch", "name", "is_pruned"), [
    (1, None, True), (0, None, False), (1, "advice", False),
])  # fmt: skip
def test_a_poor_trial_is_pruned_unless_its_values_were_given(
    epoch: int, name: str | None, is_pruned: bool
) -> None:
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=1.0))
    trial = study.ask()
    if name:
        trial.set_user_attr("name", name)
    report = reporter(trial, StudyDirection.MINIMIZE)
    if is_pruned:
        with pytest.raises(optuna.TrialPruned, match=r"hyperband: validation loss 2\.0000 after"):
            report(row(epoch, 2.0))
    else:
        report(row(epoch, 2.0))


def test_a_trial_that_another_process_ended_is_abandoned() -> None:
    study = optuna.create_study()
    trial = study.ask()
    study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    with pytest.raises(UpdateFinishedTrialError):
        reporter(trial, StudyDirection.MINIMIZE)(row(1, 0.3))
