from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests import settings
from tests.project import ROOT
from thaw.advice.linear_probes import Probe
from thaw.advice.recommendation import FAR, LARGE, ROBUST, Facts, advise
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params

if TYPE_CHECKING:
    from pathlib import Path

ERROR = 0.01
NEAR, OTHER = LARGE["similar"], LARGE["dissimilar"]


def facts(
    per_class: int = 30, shift: float | None = 0.3, lead: float = 0.0, gain: float = 0.0
) -> Facts:
    """Three blocks; ``lead`` is the second one's over the last, ``gain`` that of all together."""
    accuracies = [0.4, 0.7 + lead, 0.7]
    single = [Probe((n,), 8, accuracies[n - 1], ERROR) for n in (1, 2, 3)]
    joined = [Probe((2, 3), 16, 0.69, ERROR), Probe((1, 2, 3), 24, 0.69 + gain, ERROR)]
    return Facts(per_class * 4, 4, 3, single, joined, shift)


CASES = {
    "small and similar": facts(NEAR - 1, gain=0.05),
    "small and dissimilar": facts(OTHER - 1, lead=0.05),
    "large and similar": facts(NEAR, gain=0.05),
    "large and dissimilar": facts(OTHER, shift=FAR + 0.1),
    "from scratch": replace(facts(30, shift=None), from_scratch=True),
}


@pytest.mark.parametrize(
    ("found", "case"),
    [
        (facts(NEAR - 1), "small and similar"),
        (facts(OTHER - 1, shift=FAR + 0.1), "small and dissimilar"),
        (facts(OTHER - 1, lead=0.03), "small and dissimilar"),
        (facts(NEAR - 1, lead=0.015), "small and similar"),  # within two standard errors
        (facts(NEAR), "large and similar"),
        (facts(OTHER, shift=FAR + 0.1), "large and dissimilar"),
        (facts(OTHER, lead=0.03), "large and dissimilar"),
        (facts(NEAR - 1, shift=None), "small and similar"),  # no BatchNorm: the probes decide
        (facts(OTHER, shift=None, lead=0.03), "large and dissimilar"),
    ],
)
def test_the_case_follows_from_the_numbers(found: Facts, case: str) -> None:
    assert advise(found).case == case


def test_the_numbers_stand_in_the_reasons() -> None:
    reasons = "\n".join(advise(facts(30, shift=0.42, lead=0.05)).reasons)
    for number in ("120 training images of 4 classes, 30 a class", "0.750", "0.700", "0.42"):
        assert number in reasons


def test_what_was_not_measured_is_not_called_near() -> None:
    reasons = "\n".join(advise(facts(shift=None)).reasons)
    assert "no BatchNorm: no shift was measured" in reasons
    assert "near the source" not in reasons


def test_little_data_leaves_the_backbone_alone() -> None:
    values = advise(facts(30)).values
    assert (values["unfreeze.depth"], values["unfreeze.epochs"]) == (0, 0)
    assert values["warmup_head.fit"] == "logistic"


def test_much_data_trains_the_backbone_and_dissimilar_data_harder() -> None:
    similar, far = (advise(facts(200, shift=shift)).values for shift in (0.1, 2.0))
    assert similar["unfreeze.depth"] == far["unfreeze.depth"] == 3
    assert similar["unfreeze.lr"] < far["unfreeze.lr"]


def test_from_scratch_everything_trains_whatever_the_numbers_say() -> None:
    advice = advise(CASES["from scratch"])
    assert (advice.values["unfreeze.depth"], advice.values["warmup_head.fit"]) == (3, "gradient")
    assert advice.values["unfreeze.epochs"] > 0
    reasons = "\n".join(advice.reasons)
    assert "backbone.weights is none" in reasons
    assert "near the source" not in reasons


@pytest.mark.parametrize(("gain", "taps"), [(0.0, []), (0.05, [1, 2, 3])])
def test_the_head_reads_the_blocks_that_are_best_together(gain: float, taps: list[int]) -> None:
    assert advise(facts(30, gain=gain)).values["head.taps"] == taps


@pytest.mark.parametrize(
    ("lead", "gain", "taps"),
    [
        (0.05, 0.0, [2]),  # of the early block alone
        (0.05, 0.08, [1, 2, 3]),
        (0.015, 0.0, []),  # no clear lead: similar data, whose lower blocks are not asked alone
    ],
)
def test_on_dissimilar_data_the_head_reads_an_early_block_that_is_best(
    lead: float, gain: float, taps: list[int]
) -> None:
    advice = advise(facts(30, lead=lead, gain=gain))
    assert advice.values["head.taps"] == taps
    assert advice.values["warmup_head.fit"] == "logistic"


@pytest.mark.parametrize("before", CASES)
@pytest.mark.parametrize("after", CASES)
def test_advice_leaves_nothing_of_an_earlier_one(before: str, after: str, tmp_path: Path) -> None:
    shifted = replace(CASES[before], told_apart=(0.75, 0.02))
    found = []
    for name, steps in (("fresh", [CASES[after]]), ("second", [shifted, CASES[after]])):
        path = tmp_path / f"{name}.yaml"
        path.write_text((ROOT / "params.yaml").read_text())
        for step in steps:
            write_values(advise(step).values, path)
        found.append(load(Params, path))
    assert found[0] == found[1]


def test_an_augmentation_that_only_the_user_can_know_is_left_alone() -> None:
    keys = {key for case in CASES.values() for key in advise(case).values}
    for left in ("flip", "rotate", "shift", "zoom", "hue", "mixup"):
        assert f"augment.{left}" not in keys


@pytest.mark.parametrize("case", CASES)
def test_labels_are_smoothed_where_the_backbone_trains(case: str) -> None:
    values = advise(CASES[case]).values
    trains = values["unfreeze.epochs"] > 0
    assert values["regularize.label_smoothing"] == (0.1 if trains else 0)


@pytest.mark.parametrize("case", CASES)
def test_a_backbone_that_trains_sees_other_light_where_validation_images_do(case: str) -> None:
    alike, shifted = (
        advise(replace(CASES[case], told_apart=(accuracy, 0.02))) for accuracy in (0.52, 0.75)
    )
    trains = alike.values["unfreeze.epochs"] > 0
    for key, value in ROBUST.items():
        assert alike.values[key] == 0
        assert shifted.values[key] == (value if trains else 0)
    assert any("cannot surely tell" in reason and "0.52" in reason for reason in alike.reasons)
    assert any("0.75" in reason and "look different" in reason for reason in shifted.reasons)


@pytest.mark.parametrize(("from_scratch", "policy"), [(False, "affine"), (True, "train")])
def test_shifted_images_are_learnt_without_statistics_but_not_from_scratch(
    from_scratch: bool, policy: str
) -> None:
    far = replace(facts(OTHER, shift=FAR + 0.1), from_scratch=from_scratch)
    alike, shifted = advise(far), advise(replace(far, told_apart=(0.75, 0.02)))
    assert alike.values["unfreeze.batch_norm"] == "train"
    assert shifted.values["unfreeze.batch_norm"] == policy
    assert (shifted.values["unfreeze.lr"] < alike.values["unfreeze.lr"]) is (policy == "affine")


@pytest.mark.parametrize(
    ("told_apart", "is_shifted"),
    [((0.75, 0.05), True), ((0.75, 0.09), False), ((0.58, 0.01), False)],
)
def test_a_shift_must_be_clear_and_significant(
    told_apart: tuple[float, float], is_shifted: bool
) -> None:
    assert replace(facts(), told_apart=told_apart).is_shifted is is_shifted


@pytest.mark.parametrize("case", CASES)
def test_the_values_are_valid_parameters(case: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    write_values(advise(CASES[case]).values, path)


def test_what_a_section_does_not_take_is_known() -> None:
    advice = advise(CASES["large and similar"])
    beside = advice.beside("unfreeze", settings.PARAMS)
    assert beside["head.taps"] == [1, 2, 3]
    assert beside["warmup_head.fit"] == "logistic"
    assert "head.hidden" not in beside  # params.yaml has it as advised
    assert not any(key.startswith("unfreeze.") for key in beside)
