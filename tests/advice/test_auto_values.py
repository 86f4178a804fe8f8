from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from torch import nn

from tests.advice.project import BLOCKS, open_model
from thaw.advice import auto_values as module
from thaw.advice.auto_values import choose_policy, resolve
from thaw.advice.measurements import MANY_IMAGES, MAX_SIMILAR_SHIFT
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.training_sections import Unfreeze
from thaw.model.batchnorm import fold_all
from thaw.training.usable_batch_sizes import SMALL_BATCH

if TYPE_CHECKING:
    from pathlib import Path

    from tests.advice.project import Opened
    from thaw.advice.auto_values import Resolved


@pytest.mark.parametrize(
    ("images", "shift", "relearned", "chosen"),
    [
        (SMALL_BATCH, 0.1, False, "train"),
        (SMALL_BATCH - 1, 0.1, False, "affine"),
        (SMALL_BATCH - 1, 0.1, True, "affine"),
        (SMALL_BATCH, MAX_SIMILAR_SHIFT + 0.1, False, "affine"),
        (SMALL_BATCH, MAX_SIMILAR_SHIFT + 0.1, True, "train"),
        (SMALL_BATCH, None, False, "train"),
    ],
)
def test_the_policy_is_affine_for_small_batches_and_for_a_large_shift_that_remains(
    images: int, shift: float | None, relearned: bool, chosen: str
) -> None:
    assert choose_policy(images, shift, statistics_are_relearned=relearned) == chosen


def test_the_recommended_policy_is_kept_for_large_batches_and_a_small_shift() -> None:
    chosen = [
        choose_policy(images, 0.1, statistics_are_relearned=False, default="frozen")
        for images in (SMALL_BATCH, SMALL_BATCH - 1)
    ]
    assert chosen == ["frozen", "affine"]


def open_with(**values: Any) -> Opened:
    """Open the project with other parameters of unfreeze."""
    write_values({f"unfreeze.{key}": value for key, value in values.items()})
    return open_model()


def resolved(opened: Opened) -> Resolved:
    return resolve(opened.context, opened.classifier, opened.spec.preprocessing)


def shift_statistics(opened: Opened) -> None:
    """Shift the running statistics away from those of the data."""
    for part in opened.classifier.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None:
            part.running_mean += 5


def test_values_other_than_auto_are_unchanged(project: Path) -> None:
    found = resolved(open_with(depth=3, batch_norm="fixed"))
    assert (found.plan.cut, found.plan.batch_norm, found.report) == (BLOCKS - 3, "fixed", {})


@pytest.mark.parametrize(("processes", "chosen"), [(1, "train"), (2, "affine")])
def test_the_batch_is_shared_among_the_processes_of_the_stage(
    project: Path, processes: int, chosen: str
) -> None:
    write_values({"launch.processes": processes})
    found = resolved(open_with(batch_norm="auto", batch_size=SMALL_BATCH))  # in one process
    assert found.plan.batch_norm == found.report["batch_norm"] == chosen
    assert found.report["statistics_shift"] < 0.2


@pytest.mark.parametrize(
    ("depth", "many", "chosen"),
    [
        (BLOCKS, True, "train"),
        (BLOCKS, False, "affine"),
        (2, True, "affine"),  # the frozen blocks keep the pretrained statistics
    ],
)
def test_dissimilar_data_trains_statistics_if_all_blocks_train_on_many_images(
    project: Path, monkeypatch: pytest.MonkeyPatch, depth: int, many: bool, chosen: str
) -> None:
    monkeypatch.setitem(MANY_IMAGES, "dissimilar", 5 if many else 50)  # there are 10 per class
    opened = open_with(depth=depth, batch_norm="auto")
    shift_statistics(opened)
    found = resolved(opened)
    assert found.report["statistics_shift"] > MAX_SIMILAR_SHIFT
    assert found.plan.batch_norm == chosen


@pytest.mark.slow
def test_a_backbone_without_pretrained_weights_has_no_shift(project: Path) -> None:
    write_values({"backbone.weights": "none"})
    opened = open_with(batch_norm="auto")
    shift_statistics(opened)
    found = resolved(opened)
    assert found.report == {"batch_norm": "train", "statistics_shift": None}
    assert resolved(open_with(depth="auto")).report["advice"] == "from scratch"


def test_without_batch_norm_there_is_no_shift(project: Path) -> None:
    opened = open_with(batch_norm="auto")
    fold_all(opened.classifier)
    assert resolved(opened).report == {"batch_norm": "train", "statistics_shift": None}


@pytest.mark.slow
def test_auto_uses_its_section_of_the_recommendation_and_reports_the_other_values(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module, "say", said.append)
    lr = Unfreeze().lr
    found = resolved(open_with(depth="auto", batch_norm="frozen", gradual_epochs=0, lr=lr))
    assert found.report == {"advice": found.report["advice"]}
    assert found.report["advice"].startswith("small")
    assert (found.plan.trainable, found.plan.batch_norm) == (frozenset(), "frozen")
    assert (found.settings.epochs, found.settings.gradual_epochs) == (0, 0)
    assert len(said) == 2
    assert said[0].startswith("unfreeze.depth auto: Few images, ")
    assert " depth 0, " in said[0]
    assert "warmup_head.fit logistic" in said[1]
    assert "`thaw advise --apply` writes all values" in said[1]


@pytest.mark.slow
def test_auto_leaves_values_that_differ_from_their_default(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module, "say", said.append)
    values: dict[str, Any] = {"batch_norm": "fixed", "gradual_epochs": 2, "epochs": 5, "lr": 0.5}
    found = resolved(open_with(depth="auto", **values))
    assert found.settings.depth == 0
    assert {key: getattr(found.settings, key) for key in values} == values
    assert found.plan.batch_norm == "fixed"
    assert "kept from params.yaml: " in said[0]
    assert all(f"{key} {value}" in said[0] for key, value in values.items())


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "chosen"), [(16, "frozen"), (4, "affine")])
def test_batch_norm_auto_is_affine_for_small_batches_whatever_is_recommended(
    project: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, chosen: str
) -> None:
    monkeypatch.setitem(MANY_IMAGES, "similar", 5)
    found = resolved(open_with(depth="auto", batch_norm="auto", batch_size=batch_size))
    assert found.report["advice"] == "large and similar"  # the recommended policy is frozen
    assert found.settings.batch_norm == "auto"
    assert found.report["batch_norm"] == found.plan.batch_norm == chosen


def test_nothing_is_recommended_where_blocks_are_given(project: Path) -> None:
    found = resolved(open_with(depth="auto", blocks=[1, 3], lr=0.01))
    assert found.plan.trainable == {0, 2}
    assert (found.settings.lr, found.report) == (0.01, {})


def test_settings_without_auto_are_those_of_the_project(project: Path) -> None:
    assert resolved(open_with(depth=1)).settings == load(Params).unfreeze
