from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.training import phase
from thaw.model.freeze_plan import Plan, last_blocks
from thaw.training.gradual_unfreezing import Gradual

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from thaw.data.loading import Source
    from thaw.literals import BatchNormPolicy
    from thaw.training.history import EpochRow

FINAL = Plan(frozenset({0, 3, 4}), 6, "train")


def part(name: str) -> str:
    pieces = name.split(".")
    return ".".join(pieces[:2]) if pieces[0] == "blocks" else pieces[0]


@pytest.mark.parametrize(
    ("done", "every", "trainable", "last"),
    [
        (0, 1, {4}, 0), (1, 1, {3, 4}, 1), (2, 1, {0, 3, 4}, 2), (9, 1, {0, 3, 4}, 2),
        (1, 2, {4}, 0), (2, 2, {3, 4}, 2), (3, 2, {3, 4}, 2), (4, 2, {0, 3, 4}, 4),
        (0, 0, {0, 3, 4}, 0), (9, 0, {0, 3, 4}, 0),
    ],
)  # fmt: skip
def test_the_trainable_blocks_are_a_function_of_the_epoch(
    done: int, every: int, trainable: set[int], last: int
) -> None:
    gradual = Gradual(FINAL, every)
    assert gradual.plan(done) == Plan(frozenset(trainable), 6, "train")
    assert gradual.last_unfreezing(done) == last


def test_a_plan_of_the_head_alone_has_nothing_to_unfreeze() -> None:
    gradual = Gradual(last_blocks(0, 3), 1)
    assert gradual.plan(0) == gradual.plan(7) == gradual.final
    assert gradual.last_unfreezing(7) == 0
    assert gradual.shortfall(1) == ""


@pytest.mark.parametrize(("every", "epochs", "short"), [(1, 3, False), (1, 2, True), (3, 6, True)])
def test_blocks_that_never_thaw_are_told(every: int, epochs: int, short: bool) -> None:
    line = Gradual(FINAL, every).shortfall(epochs)
    assert bool(line) == short
    assert not short or "only 2 of the 3 blocks train" in line


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Source, Source]:
    return phase.images(tmp_path / "train"), phase.images(tmp_path / "val", phase.VAL)


@pytest.mark.parametrize("policy", phase.POLICIES)
def test_a_block_moves_from_its_epoch_on_and_not_before(
    tmp_path: Path, sources: tuple[Source, Source], policy: BatchNormPolicy
) -> None:
    model = phase.model(3, policy)
    states: list[dict[str, Tensor]] = []

    def note(row: EpochRow) -> None:
        states.append(phase.state(model))

    config = phase.config(epochs=6, schedule="constant")
    phase.fit(tmp_path, model, sources, config, gradual=2, log=note)
    for epoch, lowest in enumerate([2, 2, 1, 1, 0, 0], start=1):
        changed = phase.differing(states[epoch - 1], states[epoch])
        assert {part(n) for n in changed} == {"head", *(f"blocks.{i}" for i in range(lowest, 3))}


def test_a_training_that_ends_before_the_last_unfreezing_has_the_final_plan(
    tmp_path: Path, sources: tuple[Source, Source]
) -> None:
    model = phase.model(3, "train")
    phase.fit(tmp_path, model, sources, phase.config(epochs=2), gradual=1)
    assert model.plan == last_blocks(3, 3, "train")
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_patience_begins_anew_with_each_block(
    tmp_path: Path, sources: tuple[Source, Source]
) -> None:
    config = phase.config(lr=10.0, epochs=20, patience=3)  # no epoch is better than the start
    ends = []
    for gradual in (0, 2):
        model = phase.model(3, "frozen")
        progress = phase.fit(tmp_path / str(gradual), model, sources, config, gradual=gradual)
        assert progress.best_epoch == 0
        ends.append(progress.epoch)
    assert ends == [3, 4 + 3]


def test_too_few_epochs_are_told(
    tmp_path: Path, sources: tuple[Source, Source], capsys: pytest.CaptureFixture[str]
) -> None:
    phase.fit(tmp_path, phase.model(3, "frozen"), sources, phase.config(epochs=2), gradual=1)
    assert "warning: only 2 of the 3 blocks train in 2 epochs" in capsys.readouterr().err
