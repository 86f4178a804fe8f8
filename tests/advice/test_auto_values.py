from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from torch import nn

from tests.advice.project import BLOCKS, open_model
from thaw.advice import auto_values as module
from thaw.advice.auto_values import SMALL_BATCH, policy, resolve
from thaw.advice.recommendation import FAR, LARGE
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.model.batchnorm import fold_all

if TYPE_CHECKING:
    from pathlib import Path

    from tests.advice.project import Opened
    from thaw.advice.auto_values import Resolved


@pytest.mark.parametrize(
    ("share", "shift", "relearnt", "chosen"),
    [
        (SMALL_BATCH, 0.1, False, "train"),
        (SMALL_BATCH - 1, 0.1, False, "affine"),
        (SMALL_BATCH - 1, 0.1, True, "affine"),
        (SMALL_BATCH, FAR + 0.1, False, "affine"),
        (SMALL_BATCH, FAR + 0.1, True, "train"),
        (SMALL_BATCH, None, False, "train"),
    ],
)
def test_auto_is_affine_below_a_batch_size_and_where_a_large_shift_stays(
    share: int, shift: float | None, relearnt: bool, chosen: str
) -> None:
    assert policy(share, shift, relearnt=relearnt) == chosen


def test_where_nothing_is_against_it_the_advice_holds() -> None:
    assert policy(SMALL_BATCH, 0.1, relearnt=False, otherwise="frozen") == "frozen"
    assert policy(SMALL_BATCH - 1, 0.1, relearnt=False, otherwise="frozen") == "affine"


def opened(**values: Any) -> Opened:
    """The project's model, with other parameters of unfreeze."""
    write_values({f"unfreeze.{key}": value for key, value in values.items()})
    return open_model()


def resolved(it: Opened) -> Resolved:
    return resolve(it.context, it.classifier, it.spec.preprocessing)


def move(it: Opened) -> None:
    """Away from what the statistics are of."""
    for part in it.classifier.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None:
            part.running_mean += 5


def test_what_is_said_is_taken_as_it_is(project: Path) -> None:
    found = resolved(opened(depth=3, batch_norm="fixed"))
    assert (found.plan.cut, found.plan.batch_norm, found.report) == (BLOCKS - 3, "fixed", {})


@pytest.mark.parametrize(("processes", "chosen"), [(1, "train"), (2, "affine")])
def test_the_batch_is_shared_among_the_processes_of_the_stage(
    project: Path, processes: int, chosen: str
) -> None:
    write_values({"launch.processes": processes})
    found = resolved(opened(batch_norm="auto", batch_size=SMALL_BATCH))  # as the verb: one process
    assert found.plan.batch_norm == found.report["batch_norm"] == chosen
    assert found.report["statistics_shift"] < 0.2


@pytest.mark.parametrize(
    ("depth", "much", "chosen"),
    [
        (BLOCKS, True, "train"),
        (BLOCKS, False, "affine"),
        (2, True, "affine"),  # blocks below keep the source's statistics
    ],
)
def test_far_data_trains_its_statistics_where_everything_is_learnt_on_enough_of_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, depth: int, much: bool, chosen: str
) -> None:
    monkeypatch.setitem(LARGE, "dissimilar", 5 if much else 50)  # there are 10 a class
    it = opened(depth=depth, batch_norm="auto")
    move(it)
    found = resolved(it)
    assert found.report["statistics_shift"] > FAR
    assert found.plan.batch_norm == chosen


def test_a_backbone_from_scratch_is_far_from_nothing(project: Path) -> None:
    write_values({"backbone.weights": "none"})
    it = opened(batch_norm="auto")
    move(it)
    found = resolved(it)
    assert found.report == {"batch_norm": "train", "statistics_shift": None}
    assert resolved(opened(depth="auto")).report["advice"] == "from scratch"


def test_without_batch_norm_there_is_no_shift(project: Path) -> None:
    it = opened(batch_norm="auto")
    fold_all(it.classifier)
    assert resolved(it).report == {"batch_norm": "train", "statistics_shift": None}


def test_auto_takes_its_section_of_the_advice_and_says_what_it_does_not_take(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module, "say", said.append)
    found = resolved(opened(depth="auto", batch_norm="fixed", gradual_epochs=2, epochs=5))
    assert found.report == {"advice": found.report["advice"]}
    assert found.report["advice"].startswith("small")
    assert (found.plan.trainable, found.plan.batch_norm) == (frozenset(), "frozen")
    assert (found.settings.epochs, found.settings.gradual_epochs) == (0, 0)
    assert len(said) == 2
    assert said[0].startswith(f"unfreeze.depth auto: {found.report['advice']}: depth 0, ")
    assert "warmup_head.fit logistic" in said[1]
    assert "`thaw advise --apply` takes all" in said[1]


@pytest.mark.parametrize(("batch_size", "chosen"), [(16, "frozen"), (4, "affine")])
def test_a_policy_left_to_auto_is_not_the_advices(
    project: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, chosen: str
) -> None:
    monkeypatch.setitem(LARGE, "similar", 5)
    found = resolved(opened(depth="auto", batch_norm="auto", batch_size=batch_size))
    assert found.report["advice"] == "large and similar"  # which advises frozen
    assert found.settings.batch_norm == "auto"
    assert found.report["batch_norm"] == found.plan.batch_norm == chosen


def test_blocks_by_number_leave_nothing_to_advise(project: Path) -> None:
    found = resolved(opened(depth="auto", blocks=[1, 3], lr=0.01))
    assert found.plan.trainable == {0, 2}
    assert (found.settings.lr, found.report) == (0.01, {})


def test_the_section_is_the_projects(project: Path) -> None:
    assert resolved(opened(depth=1)).settings == load(Params).unfreeze
