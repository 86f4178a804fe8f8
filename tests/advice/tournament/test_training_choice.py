from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.advice.project import open_model
from thaw.advice.tournament import training_choice
from thaw.advice.tournament.choice_files import FittedHead
from thaw.advice.tournament.fold_training import FoldResult, FoldTrainer
from thaw.advice.tournament.training_choice import (
    TrainingChoice,
    choose_training,
    is_chosen_by_training,
    write_leaderboard,
)
from thaw.config.editing import write_values
from thaw.config.params import Params
from thaw.training.optimizer_step import NotFiniteError

if TYPE_CHECKING:
    from thaw.advice.tournament.training_candidates import TrainingCandidate

HEAD = FittedHead("logistic", 0.01, is_compared=True)
NOISE = np.random.default_rng(0).normal(0, 0.05, (2, 100))
NOISE -= NOISE.mean(axis=1, keepdims=True)


def choice(monkeypatch: pytest.MonkeyPatch, gains: dict[str, float]) -> TrainingChoice:
    """Return the choice where a training lowers the loss by ``gains``, by a part of its name.

    Half of the gain is reached after one epoch.
    """

    def result(self: object, candidate: TrainingCandidate, epochs: int) -> FoldResult:
        gain = max((g for part, g in gains.items() if part in candidate.name), default=-1.0)
        gain *= 0.0 if not candidate.depth else min(1.0, (1 + epochs) / 4)
        losses = 1.0 - gain + NOISE[int(candidate.depth > 0)]
        return FoldResult(candidate, epochs, losses, np.ones(100), 0.1)

    write_values({"unfreeze.depth": "auto", "unfreeze.lr": 1e-4, "unfreeze.batch_norm": "auto"})
    opened = open_model()
    trainer = SimpleNamespace(context=opened.context)
    trainer.result = lambda *given: result(trainer, *given)
    monkeypatch.setattr(FoldTrainer, "start", lambda *_: trainer)
    return choose_training(opened.context, opened.classifier, opened.spec, HEAD)


def test_training_that_is_clearly_better_than_the_head_is_chosen(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = choice(monkeypatch, {"train": 0.5, "frozen": 0.1})
    assert found.name == "all blocks, lr 0.001, train"
    assert found.values == {"depth": 7, "lr": 0.001, "batch_norm": "train", "epochs": 7}
    assert [row.epochs for row in found.rows] == [0, 3, 1, 1, 1, 1]
    assert [row.chosen for row in found.rows] == [False, True, False, False, False, False]
    assert found.rows[1].difference == pytest.approx(-0.5, abs=0.02)


def test_training_within_the_noise_is_not_chosen(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = choice(monkeypatch, {"frozen": 0.001})
    assert found.name == "head alone"
    assert (found.values["depth"], found.values["epochs"]) == (0, 0)
    assert found.rows[0].chosen
    assert len(found.rows) == 6


def test_the_best_training_goes_on_although_it_is_behind_after_one_epoch(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = choice(monkeypatch, {"lr": -0.5})
    assert found.name == "head alone"
    assert [row.epochs for row in found.rows] == [0, 3, 1, 1, 1, 1]


def test_a_training_that_diverges_is_left_out(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raise_error(self: object, candidate: TrainingCandidate, epochs: int) -> FoldResult:
        if candidate.depth:
            raise NotFiniteError("the loss is not finite")
        return FoldResult(candidate, epochs, 1.0 + NOISE[0], np.ones(100), 0.1)

    write_values({"unfreeze.depth": "auto", "unfreeze.lr": 1e-4, "unfreeze.batch_norm": "auto"})
    opened = open_model()
    monkeypatch.setattr(FoldTrainer, "result", raise_error)
    found = choose_training(opened.context, opened.classifier, opened.spec, HEAD)
    assert found.name == "head alone"
    assert len(found.rows) == 1
    assert "left out: all blocks, lr 0.001, train" in capsys.readouterr().err


def test_the_choice_is_stored_and_found_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choice(monkeypatch, {"train": 0.5})
    monkeypatch.setattr(training_choice, "_compare", None)
    opened = open_model()
    assert choose_training(opened.context, opened.classifier, opened.spec, HEAD) == first


def test_real_trainings_are_compared(project: Path) -> None:
    write_values({"unfreeze.depth": "auto", "unfreeze.lr": 1e-4, "unfreeze.batch_norm": "auto"})
    opened = open_model()
    found = choose_training(opened.context, opened.classifier, opened.spec, HEAD)
    assert sum(row.chosen for row in found.rows) == 1
    assert 5 <= len(found.rows) <= 6
    write_leaderboard(found.rows, Path("reports/unfreeze"))
    with Path("reports/unfreeze/leaderboard.csv").open() as stream:
        assert [row["candidate"] for row in csv.DictReader(stream)] == [
            row.candidate for row in found.rows
        ]


@pytest.mark.parametrize(
    ("depth", "blocks", "is_compared", "expected"),
    [("auto", [], True, True), (3, [], True, False), ("auto", [], False, False)],
)
def test_trainings_are_compared_where_the_depth_and_the_head_were_auto(
    depth: object, blocks: list[int], is_compared: bool, expected: bool
) -> None:
    unfreeze = Params().unfreeze.model_copy(update={"depth": depth, "blocks": blocks})
    params = Params().model_copy(update={"unfreeze": unfreeze})
    head = FittedHead("logistic", "auto", is_compared)
    assert is_chosen_by_training(params, head) == expected
