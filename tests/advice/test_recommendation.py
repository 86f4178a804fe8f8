from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests import settings
from tests.advice.measured import (
    FEW_DISSIMILAR,
    FEW_SIMILAR,
    MANY_DISSIMILAR,
    MANY_SIMILAR,
    measurements,
)
from tests.project import ROOT
from thaw.advice.linear_probes import SplitTest
from thaw.advice.measurements import MAX_SIMILAR_SHIFT
from thaw.advice.recommendation import ROBUST_AUGMENTATION, Case, recommend
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.advice.measurements import Measurements

CASES = {
    "small and similar": measurements(FEW_SIMILAR, gain=0.05),
    "small and dissimilar": measurements(FEW_DISSIMILAR, lead=0.05),
    "large and similar": measurements(MANY_SIMILAR, gain=0.05),
    "large and dissimilar": measurements(MANY_DISSIMILAR, shift=MAX_SIMILAR_SHIFT + 0.1),
    "from scratch": replace(measurements(30, shift=None), from_scratch=True),
}


@pytest.mark.parametrize(
    ("found", "case"),
    [
        (measurements(FEW_SIMILAR), "small and similar"),
        (measurements(FEW_DISSIMILAR, shift=MAX_SIMILAR_SHIFT + 0.1), "small and dissimilar"),
        (measurements(FEW_DISSIMILAR, lead=0.03), "small and dissimilar"),
        (measurements(FEW_SIMILAR, lead=0.015), "small and similar"),  # within two standard errors
        (measurements(MANY_SIMILAR), "large and similar"),
        (measurements(MANY_DISSIMILAR, shift=MAX_SIMILAR_SHIFT + 0.1), "large and dissimilar"),
        (measurements(MANY_DISSIMILAR, lead=0.03), "large and dissimilar"),
        (
            measurements(FEW_SIMILAR, shift=None),
            "small and similar",
        ),  # no BatchNorm: the probes decide
        (measurements(MANY_DISSIMILAR, shift=None, lead=0.03), "large and dissimilar"),
    ],
)
def test_the_case_follows_from_the_measurements(found: Measurements, case: str) -> None:
    assert recommend(found).case == case


def test_every_case_has_a_sentence_that_summarizes_it() -> None:
    assert [case for case in Case if not case.summary.endswith(".")] == []


def test_few_images_train_only_the_head() -> None:
    values = recommend(measurements(30)).values
    assert (values["unfreeze.depth"], values["unfreeze.epochs"]) == (0, 0)
    assert values["warmup_head.fit"] == "logistic"


def test_many_images_train_the_backbone_and_dissimilar_ones_at_a_higher_rate() -> None:
    similar, far = (recommend(measurements(200, shift=shift)).values for shift in (0.1, 2.0))
    assert similar["unfreeze.depth"] == far["unfreeze.depth"] == 3
    assert similar["unfreeze.lr"] < far["unfreeze.lr"]


def test_all_blocks_train_without_pretrained_weights() -> None:
    recommendation = recommend(CASES["from scratch"])
    assert (recommendation.values["unfreeze.depth"], recommendation.values["warmup_head.fit"]) == (
        3,
        "gradient",
    )
    assert recommendation.values["unfreeze.epochs"] > 0


@pytest.mark.parametrize(("gain", "taps"), [(0.0, []), (0.05, [1, 2, 3])])
def test_the_head_reads_the_blocks_that_classify_best_together(
    gain: float, taps: list[int]
) -> None:
    assert recommend(measurements(30, gain=gain)).values["head.taps"] == taps


@pytest.mark.parametrize(
    ("lead", "gain", "taps"),
    [
        (0.05, 0.0, [2]),  # the early block alone
        (0.05, 0.08, [1, 2, 3]),
        (0.015, 0.0, []),  # no clear lead: single lower blocks are no candidates
    ],
)
def test_the_head_reads_an_early_block_that_classifies_best_on_dissimilar_data(
    lead: float, gain: float, taps: list[int]
) -> None:
    recommendation = recommend(measurements(30, lead=lead, gain=gain))
    assert recommendation.values["head.taps"] == taps
    assert recommendation.values["warmup_head.fit"] == "logistic"


@pytest.mark.parametrize(
    ("before", "after"), list(zip(CASES, [*list(CASES)[1:], *list(CASES)[:1]], strict=True))
)
def test_a_recommendation_replaces_all_values_of_an_earlier_one(
    before: str, after: str, tmp_path: Path
) -> None:
    shifted = replace(CASES[before], split_test=SplitTest(0.75, 0.02))
    found = []
    for name, steps in (("fresh", [CASES[after]]), ("second", [shifted, CASES[after]])):
        path = tmp_path / f"{name}.yaml"
        path.write_text((ROOT / "params.yaml").read_text())
        for step in steps:
            write_values(recommend(step).values, path)
        found.append(load(Params, path))
    assert found[0] == found[1]


def test_augmentations_that_depend_on_the_data_are_not_recommended() -> None:
    keys = {key for case in CASES.values() for key in recommend(case).values}
    for left in ("flip", "rotate", "shift", "zoom", "hue", "mixup"):
        assert f"augment.{left}" not in keys


@pytest.mark.parametrize("case", CASES)
def test_labels_are_not_smoothed(case: str) -> None:
    assert recommend(CASES[case]).values["regularize.label_smoothing"] == 0


@pytest.mark.parametrize("case", CASES)
def test_robust_augmentation_is_recommended_if_validation_images_differ(case: str) -> None:
    alike, shifted = (
        recommend(replace(CASES[case], split_test=SplitTest(accuracy, 0.02)))
        for accuracy in (0.52, 0.75)
    )
    trains = alike.values["unfreeze.epochs"] > 0
    for key, value in ROBUST_AUGMENTATION.items():
        assert alike.values[key] == 0
        assert shifted.values[key] == (value if trains else 0)


@pytest.mark.parametrize(("from_scratch", "policy"), [(False, "affine"), (True, "train")])
def test_different_validation_images_need_affine_maps_unless_from_scratch(
    from_scratch: bool, policy: str
) -> None:
    far = replace(
        measurements(MANY_DISSIMILAR, shift=MAX_SIMILAR_SHIFT + 0.1), from_scratch=from_scratch
    )
    alike, shifted = recommend(far), recommend(replace(far, split_test=SplitTest(0.75, 0.02)))
    assert alike.values["unfreeze.batch_norm"] == "train"
    assert shifted.values["unfreeze.batch_norm"] == policy
    assert (shifted.values["unfreeze.lr"] < alike.values["unfreeze.lr"]) is (policy == "affine")


@pytest.mark.parametrize("case", CASES)
def test_the_values_are_valid_parameters(case: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    write_values(recommend(CASES[case]).values, path)


def test_the_changes_outside_of_a_section_are_known() -> None:
    recommendation = recommend(CASES["large and similar"])
    changes = recommendation.changes_outside("unfreeze", settings.PARAMS)
    assert changes["head.taps"] == [1, 2, 3]
    assert changes["warmup_head.fit"] == "logistic"
    assert "head.hidden" not in changes  # params.yaml has the recommended value
    assert not any(key.startswith("unfreeze.") for key in changes)
