from __future__ import annotations

from typing import TYPE_CHECKING

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import create_trial

from thaw.search import plots

if TYPE_CHECKING:
    from pathlib import Path


def study(trials: int, directions: int = 1) -> optuna.Study:
    made = optuna.create_study(directions=["minimize"] * directions)
    space = {"unfreeze.depth": IntDistribution(0, 3), "unfreeze.lr": FloatDistribution(0.1, 1)}
    for number in range(trials):
        params = {"unfreeze.depth": number % 4, "unfreeze.lr": 0.1 + 0.2 * number}
        values = [1.0 / (number + 1)] * directions
        made.add_trial(create_trial(params=params, distributions=space, values=values))
    return made


@pytest.mark.slow
def test_the_page_and_a_png_of_each_plot_are_written(tmp_path: Path) -> None:
    drawn = plots.draw(study(4), tmp_path, "log_loss")
    assert drawn == ["history", "importances", "slice", "parallel_coordinates", "contour"]
    assert {path.name for path in tmp_path.iterdir()} == {
        plots.PAGE, *(f"{name}.png" for name in drawn)
    }  # fmt: skip
    assert 'src="http' not in (tmp_path / plots.PAGE).read_text()  # it needs no network


@pytest.mark.slow
def test_the_name_of_the_study_is_text_of_the_page(tmp_path: Path) -> None:
    named = optuna.create_study(study_name="<b>a & b</b>")
    named.add_trials(study(4).trials)
    plots.draw(named, tmp_path, "log_loss")
    assert (
        "<h1>thaw search: &lt;b&gt;a &amp; b&lt;/b&gt;</h1>" in (tmp_path / plots.PAGE).read_text()
    )


@pytest.mark.slow
def test_two_objectives_have_a_plot_of_the_pareto_front(tmp_path: Path) -> None:
    assert "pareto_front" in plots.draw(study(4, directions=2), tmp_path, "log_loss")


def test_a_single_trial_has_no_plots(tmp_path: Path) -> None:
    assert plots.draw(study(1), tmp_path, "log_loss") == []
    assert not list(tmp_path.iterdir())
