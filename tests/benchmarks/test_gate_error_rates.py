from __future__ import annotations

import numpy as np
import pytest

from benchmarks import gate_error_rates
from benchmarks.gate_error_rates import CASES, CHAMPION, Case, drawn, signal_of, true_log_loss


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_drawn_models_have_the_stated_difference_of_their_log_losses(
    monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    monkeypatch.setattr(gate_error_rates, "POPULATION", 20_000)
    champion = true_log_loss(CHAMPION, case.factor)
    signals = (signal_of(champion + 0.1, case.factor), CHAMPION)
    pair = drawn(case, signals, 20_000, seed=1)
    rows = np.arange(len(pair.targets))
    losses = [-np.log(each[rows, pair.targets]) for each in (pair.challenger, pair.champion)]
    assert losses[1].mean() == pytest.approx(champion, abs=0.04)
    assert (losses[0] - losses[1]).mean() == pytest.approx(0.1, abs=0.03)


def test_a_column_is_named_after_the_difference() -> None:
    names = [gate_error_rates.name_of(worse_by) for worse_by in (0.05, 0.0, -0.05)]
    assert names == ["worse by 0.05", "equally good", "better by 0.05"]
