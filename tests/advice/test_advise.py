from __future__ import annotations

import pytest

from tests.project import ROOT
from thaw.advice.advise import FAR, LARGE, Facts, advise
from thaw.advice.probe import Probe
from thaw.edit import write_values

ERROR = 0.01
NEAR, OTHER = LARGE["similar"], LARGE["dissimilar"]


def facts(per_class: int = 30, shift: float = 0.3, lead: float = 0.0, gain: float = 0.0) -> Facts:
    """Three blocks; ``lead`` is the second one's over the last, ``gain`` that of all together."""
    accuracies = [0.4, 0.7 + lead, 0.7]
    single = [Probe((n,), 8, accuracies[n - 1], ERROR) for n in (1, 2, 3)]
    joined = [Probe((2, 3), 16, 0.69, ERROR), Probe((1, 2, 3), 24, 0.69 + gain, ERROR)]
    return Facts(per_class * 4, 4, 3, single, joined, shift)


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
    ],
)
def test_the_case_follows_from_the_numbers(found: Facts, case: str) -> None:
    assert advise(found).case == case


def test_the_numbers_stand_in_the_reasons() -> None:
    reasons = "\n".join(advise(facts(30, shift=0.42, lead=0.05)).reasons)
    for number in ("120 training images of 4 classes, 30 a class", "0.750", "0.700", "0.42"):
        assert number in reasons


def test_little_data_leaves_the_backbone_alone() -> None:
    values = advise(facts(30)).values
    assert (values["unfreeze.depth"], values["unfreeze.epochs"]) == (0, 0)
    assert values["warmup_head.fit"] == "logistic"


def test_much_data_trains_the_backbone_and_dissimilar_data_harder() -> None:
    similar, far = (advise(facts(200, shift=shift)).values for shift in (0.1, 2.0))
    assert similar["unfreeze.depth"] == far["unfreeze.depth"] == 3
    assert similar["unfreeze.lr"] < far["unfreeze.lr"]


@pytest.mark.parametrize(("gain", "taps"), [(0.0, []), (0.05, [1, 2, 3])])
def test_the_head_reads_the_blocks_that_are_best_together(gain: float, taps: list[int]) -> None:
    assert advise(facts(30, gain=gain)).values["head.taps"] == taps


@pytest.mark.parametrize("per_class", [30, 200])
@pytest.mark.parametrize("shift", [0.1, 2.0])
def test_the_values_are_valid_parameters(per_class: int, shift: float, tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    write_values(advise(facts(per_class, shift)).values, path)
