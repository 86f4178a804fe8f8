from __future__ import annotations

from typing import Any

import pytest

from tests.config.value_check import check_values
from thaw.config.data_sections import Augment, FixedAugment
from thaw.errors import ThawError


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        ("data.max_bad_fraction", [0.0, 0.1, 1.0], [-0.1, 1.1]),
        ("augment.crop", [0.0, 0.99], [-0.1, 1.0]),
        ("augment.randaugment", [0, 20], [-1, 21]),
        ("augment.mixup", [0.0, 0.2], [-0.1, 101.0]),
    ],
)
def test_values_that_memory_or_time_do_not_allow_are_refused(
    key: str, accepted: list[Any], refused: list[Any]
) -> None:
    check_values(key, accepted, refused)


def test_an_augmentation_without_changes_is_not_active() -> None:
    assert not FixedAugment(crop=0.0, flip=0.0).active
    assert FixedAugment(crop=0.0, flip=0.0, noise=0.1).active


def test_the_defaults_suit_photographs() -> None:
    assert (FixedAugment().crop, FixedAugment().flip, FixedAugment().rotate) == (0.45, 0.5, 0.0)


def test_an_augmentation_that_is_auto_has_a_default_and_no_value() -> None:
    section = Augment(crop="auto", flip=0.1, noise=0.2)
    assert section.assumed() == FixedAugment(crop=0.45, flip=0.1, noise=0.2)
    with pytest.raises(ThawError, match=r"augment\.crop is auto: the stage unfreeze chooses it"):
        section.fixed()
    assert Augment(crop=0.0, flip=0.0).fixed() == FixedAugment(crop=0.0, flip=0.0)


def test_single_changes_leave_everything_else_off() -> None:
    assert FixedAugment.only(flip=1.0) == FixedAugment(crop=0.0, flip=1.0, randaugment_magnitude=0)
    assert not FixedAugment.only().active
