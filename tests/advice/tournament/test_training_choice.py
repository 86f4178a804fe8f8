from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.advice.project import open_model
from tests.training.phase import Killed
from thaw.advice.folds import Fold
from thaw.advice.tournament import training_choice
from thaw.advice.tournament.deadline import Deadline
from thaw.advice.tournament.development import development
from thaw.advice.tournament.fold_training import FoldResult, FoldTrainer
from thaw.advice.tournament.stage_choices import HeadMethod
from thaw.advice.tournament.training_choice import (
    TrainingChoice,
    choose_training,
    is_chosen_by_training,
)
from thaw.config.editing import write_values
from thaw.config.params import Params
from thaw.training import memory_fit
from thaw.training.optimizer_step import NotFiniteError
from thaw.training.out_of_memory import MemoryShortageError
from thaw.training.single_image_steps import FewImagesError

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.advice.tournament.development import Development
    from thaw.advice.tournament.training_candidates import TrainingCandidate
    from thaw.data.prepared import Prepared
    from thaw.errors import ThawError
    from thaw.training.rehearsal import Rehearsal

HEAD = HeadMethod("logistic", 0.01, is_compared=True)
NOISE = np.random.default_rng(0).normal(0, 0.05, (2, 100))
NOISE -= NOISE.mean(axis=1, keepdims=True)


def choice(
    monkeypatch: pytest.MonkeyPatch,
    losses: dict[str, tuple[float, float]],
    deadline: Deadline | None = None,
    head: float = 1.0,
) -> TrainingChoice:
    """Return the choice where trainings have ``losses`` after 1 and 3 epochs, by a part of a name.

    Others have 3 nats. The head alone has the loss ``head``.
    """

    def result(
        candidate: TrainingCandidate, epochs: int, after: FoldResult | None = None
    ) -> FoldResult:
        done = epochs + (after.epochs if after else 0)
        after_1, after_3 = next((v for k, v in losses.items() if k in candidate.name), (3.0, 3.0))
        mean = {0: head, 1: after_1, 3: after_3}[done]
        return FoldResult(candidate, done, mean + NOISE[int(done > 0)], np.ones(100), 0.1)

    write_values({"unfreeze.depth": "auto", "unfreeze.lr": 1e-4, "unfreeze.batch_norm": "auto"})
    opened = open_model()
    images = development(opened.context.data, 1000, seed=0)
    preprocessing = opened.spec.preprocessing
    trainer = FoldTrainer(opened.context, opened.classifier, preprocessing, images, images.folds[0])
    monkeypatch.setattr(FoldTrainer, "start", lambda *_: trainer)
    monkeypatch.setattr(FoldTrainer, "result", lambda _, *given: result(*given))
    return choose_training(opened.context, opened.classifier, opened.spec, HEAD, deadline)


def test_training_that_is_clearly_better_than_the_head_is_chosen(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = choice(monkeypatch, {"train": (0.9, 0.5), "affine": (0.8, 0.7)})
    assert found.name == "all blocks, lr 0.001, BatchNorm train"
    assert found.values == {"depth": 7, "lr": 0.001, "batch_norm": "train", "epochs": 7}
    assert [row.epochs for row in found.rows] == [0, 3, 3, 1, 1, 1, 1]
    assert [row.candidate for row in found.rows if row.chosen] == [found.name]
    head, _, best, *_ = found.rows
    assert best.difference == pytest.approx(-0.5, abs=0.02)
    assert (head.to_chosen, best.to_chosen) == (-best.difference, 0.0)
    assert found.is_better
    said = capsys.readouterr().err
    assert "comparing (round 1, 4 of 4): last 4 blocks" in said
    assert "(round 2, 2 of 2): all blocks, lr 0.001, BatchNorm train; 2 epochs more" in said


def test_a_training_that_will_catch_up_with_the_head_is_tried(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # From 3 to 7 epochs, 0.39 of the gain from 1 to 3 is expected.
    found = choice(monkeypatch, {"train": (2.0, 1.2)})
    assert found.name == "all blocks, lr 0.001, BatchNorm train"
    assert found.values["epochs"] == 7
    assert not found.is_better


@pytest.mark.parametrize("losses", [(2.0, 1.5), (1.1, 1.05), (1.0, 1.2)])
def test_a_training_that_stays_behind_the_head_is_not_tried(
    project: Path, monkeypatch: pytest.MonkeyPatch, losses: tuple[float, float]
) -> None:
    found = choice(monkeypatch, {"lr": losses})
    assert found.name == "head alone"
    assert (found.values["depth"], found.values["epochs"]) == (0, 0)
    assert found.rows[0].chosen
    assert not found.is_better


@pytest.mark.parametrize(("head", "is_tried"), [(1.05, False), (1.15, True)])
def test_a_head_that_is_worse_than_guessing_loses_to_any_better_training(
    project: Path, monkeypatch: pytest.MonkeyPatch, head: float, is_tried: bool
) -> None:
    # Guessing one of three classes is worth 1.099 nats. The training gets worse from 1 epoch to 3.
    found = choice(monkeypatch, {"0.001, BatchNorm train": (0.1, head - 0.004)}, head=head)
    assert (found.name != "head alone") == is_tried


def test_the_best_two_go_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = choice(
        monkeypatch, {"0.001, BatchNorm train": (1.3, 1.2), "affine": (1.2, 1.2), "lr": (1.9, 0.1)}
    )
    assert [row.candidate for row in found.rows if row.epochs == 3] == [
        "all blocks, lr 0.001, BatchNorm affine",
        "all blocks, lr 0.001, BatchNorm train",
    ]


@pytest.mark.parametrize("error", [NotFiniteError, MemoryShortageError, FewImagesError])
def test_a_way_that_cannot_be_trained_is_left_out(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[ThawError],
) -> None:
    def raise_error(
        self: object, candidate: TrainingCandidate, epochs: int, after: object = None
    ) -> FoldResult:
        if candidate.depth:
            raise error("the reason")
        return FoldResult(candidate, epochs, 1.0 + NOISE[0], np.ones(100), 0.1)

    write_values({"unfreeze.depth": "auto", "unfreeze.lr": 1e-4, "unfreeze.batch_norm": "auto"})
    opened = open_model()
    monkeypatch.setattr(FoldTrainer, "result", raise_error)
    found = choose_training(opened.context, opened.classifier, opened.spec, HEAD)
    assert found.name == "head alone"
    assert len(found.rows) == 1
    assert "left out: all blocks, lr 0.001, BatchNorm train: the reason" in capsys.readouterr().err


def test_the_choice_is_stored_and_found_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choice(monkeypatch, {"train": (0.9, 0.5)})
    monkeypatch.setattr(training_choice, "_compare", None)
    opened = open_model()
    assert choose_training(opened.context, opened.classifier, opened.spec, HEAD) == first


@pytest.mark.slow
def test_real_trainings_are_compared(project: Path) -> None:
    write_values({"unfreeze.depth": "auto", "unfreeze.lr": 1e-4, "unfreeze.batch_norm": "auto"})
    opened = open_model()
    found = choose_training(opened.context, opened.classifier, opened.spec, HEAD)
    assert sum(row.chosen for row in found.rows) == 1
    assert [row.epochs for row in found.rows] == [0, 3, 3, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("depth", "blocks", "is_compared", "expected"),
    [("auto", [], True, True), (3, [], True, False), ("auto", [], False, False)],
)
def test_trainings_are_compared_where_the_depth_and_the_head_were_auto(
    depth: object, blocks: list[int], is_compared: bool, expected: bool
) -> None:
    unfreeze = Params().unfreeze.model_copy(update={"depth": depth, "blocks": blocks})
    params = Params().model_copy(update={"unfreeze": unfreeze})
    head = HeadMethod("logistic", "auto", is_compared)
    assert is_chosen_by_training(params, head) == expected


def test_a_deadline_leaves_ways_out_and_nothing_is_stored(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 30.0, 59.0, *[61.0] * 9])
    deadline = Deadline(1.0, clock=lambda: next(times))
    losses = {"lr": (0.9, 0.5)}
    found = choice(monkeypatch, losses, deadline)
    assert [row.epochs for row in found.rows] == [0, 1, 1]
    assert deadline.has_shortened
    assert len(choice(monkeypatch, losses).rows) == 7


@pytest.mark.parametrize("loss", [0.9, 1.1])
def test_after_a_deadline_the_results_of_the_first_round_count(
    project: Path, monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    times = iter([0.0, *[30.0] * 4, *[61.0] * 9])
    found = choice(monkeypatch, {"train": (loss, 0.1)}, Deadline(1.0, clock=lambda: next(times)))
    assert [row.epochs for row in found.rows] == [0, 1, 1, 1, 1]
    name = "all blocks, lr 0.001, BatchNorm train"
    assert found.name == (name if loss < 1.0 else "head alone")
    assert [row.candidate for row in found.rows if row.chosen] == [found.name]


def test_with_one_epoch_each_way_is_trained_and_listed_once(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_values({"unfreeze.epochs": 1})
    found = choice(monkeypatch, {"train": (0.9, 0.5)})
    assert [row.epochs for row in found.rows] == [0, 1, 1, 1, 1]
    assert len({row.candidate for row in found.rows}) == 5
    assert [row.candidate for row in found.rows if row.chosen] == [found.name]


@pytest.mark.parametrize("images", [0, 3])
def test_too_few_images_for_a_fold_of_two_classes_are_not_compared(
    project: Path, monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    def one_class_first(data: Prepared, most: int, seed: int) -> Development:
        found = development(data, most, seed)
        fit = np.arange(most - 1)
        found.targets[fit] = 0
        return replace(found, folds=[Fold(fit, np.array([most - 1]))]) if most else found

    write_values({"unfreeze.depth": "auto"})
    monkeypatch.setattr(training_choice, "affordable", lambda *_: images)
    monkeypatch.setattr(training_choice, "development", one_class_first)
    opened = open_model()
    found = choose_training(opened.context, opened.classifier, opened.spec, HEAD)
    assert (found.name, found.rows, found.values["epochs"]) == ("head alone", [], 0)


def test_without_epochs_nothing_is_compared_and_the_head_alone_is_the_model(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_values({"unfreeze.epochs": 0})
    found = choice(monkeypatch, {})
    assert (found.name, found.rows, found.values["epochs"]) == ("head alone", [], 0)


def test_a_killed_comparison_repeats_the_measured_choices_of_its_trainings(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_values({"unfreeze.depth": "auto", "launch.accumulate": "auto"})
    opened = open_model()
    measured: list[int] = []

    def fewest_parts(_: Rehearsal) -> int:
        """Return what fits now; another program may use the memory."""
        measured.append(len(measured) + 1)
        return min(len(measured), 4)

    def compared() -> TrainingChoice:
        return choose_training(opened.context, opened.classifier, opened.spec, HEAD)

    monkeypatch.setattr(memory_fit, "fewest_parts", fewest_parts)
    with monkeypatch.context() as patch:
        patch.setattr(training_choice, "write_json", killed)
        with pytest.raises(Killed):
            compared()
    first = len(measured)
    assert first > 2
    found = compared()
    assert len(measured) == first
    assert len(found.rows) > 1


def killed(*_: object) -> None:
    raise Killed
