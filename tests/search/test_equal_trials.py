from __future__ import annotations

import json
from typing import TYPE_CHECKING

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from thaw.search import attempt, plots
from thaw.search.equal_trials import has_importances, notes

if TYPE_CHECKING:
    from pathlib import Path


def study(*values: float, epoch: int = 2) -> optuna.Study:
    """Return a study with a complete trial for each value; those of 0.5 kept ``epoch`` 0."""
    made = optuna.create_study()
    for number, value in enumerate(values):
        result = json.dumps({"best_epoch": 0 if value == 0.5 else epoch})
        made.add_trial(
            create_trial(
                params={"unfreeze.lr": 0.1 + number / 100},
                distributions={"unfreeze.lr": FloatDistribution(0.1, 1)},
                value=value,
                user_attrs={attempt.RESULT: result},
            )
        )
    return made


def test_trials_that_differ_have_importances_and_no_note() -> None:
    different = study(0.4, 0.3, 0.2)
    assert notes(different, "log_loss") == []
    assert has_importances(different)


def test_trials_that_kept_the_model_before_fine_tuning_are_counted() -> None:
    mostly = study(0.5, 0.5, 0.5, 0.5, 0.5, 0.4)
    assert notes(mostly, "log_loss") == [
        "5 of 6 trials have the same log_loss, 0.5000: with the seed of the search, their values "
        "make no difference; no importance of parameters is shown",
        "5 of 6 trials kept epoch 0, the model before fine-tuning: with the seed of the search, "
        "their values of unfreeze have no effect",
    ]


def test_equal_trials_are_named_whatever_the_reason() -> None:
    assert notes(study(0.25, 0.25), "accuracy") == [
        "all 2 complete trials have the same accuracy, 0.2500: with the seed of the search, their "
        "values make no difference; no importance of parameters is shown"
    ]
    some = study(0.25, 0.25, 0.3, 0.2)
    assert "2 of 4 trials have the same accuracy" in notes(some, "accuracy")[0]
    assert has_importances(some)
    assert notes(study(0.25), "accuracy") == notes(study(), "accuracy") == []


def test_trials_that_differ_by_rounding_are_equal_and_those_that_differ_more_are_not() -> None:
    rounded = study(0.0026, 0.02645352, 0.02645379, 0.02645379, 0.0264539, 0.02645397)
    assert "5 of 6 trials have the same log_loss, 0.0265" in notes(rounded, "log_loss")[0]
    assert not has_importances(rounded)
    assert notes(study(0.02645, 0.02646, 0.02649), "log_loss") == []
    assert notes(study(1e-6, 2e-6), "log_loss") == []
    assert "all 2 complete" in notes(study(-0.3, -0.3000001), "log_likelihood")[0]


@pytest.mark.slow
@pytest.mark.parametrize("values", [(0.5, 0.5, 0.5, 0.4), (0.3, 0.3)])
def test_no_importance_is_drawn_of_equal_trials(values: tuple[float, ...], tmp_path: Path) -> None:
    (tmp_path / "importances.png").write_bytes(b"of an earlier state of the study")
    assert "importances" not in plots.draw(study(*values), tmp_path, "log_loss")
    assert not (tmp_path / "importances.png").exists()
