from __future__ import annotations

from typing import Any

import pytest

from tests.config.value_check import check_values
from thaw.config.training_sections import FoldBn, Training, Unfreeze, WarmupHead


@pytest.mark.parametrize(
    ("key", "accepted", "refused"),
    [
        ("unfreeze.epochs", [0, 100_000], [-1, 100_001]),
        ("unfreeze.batch_size", [1, 65_536, "auto"], [0, 65_537, "all"]),
        ("unfreeze.depth", [0, 1000, "auto"], [-1, 1001, "all"]),
        ("unfreeze.lr", [1e-9, 1.0], [0.0, -1.0]),
        ("unfreeze.lr_decay", [0.1, 1.0], [0.0, 1.1]),
        ("fold_bn.tolerance", [1e-6, 1.0], [0.0, 1.1]),
    ],
)
def test_values_that_memory_or_time_do_not_allow_are_refused(
    key: str, accepted: list[Any], refused: list[Any]
) -> None:
    check_values(key, accepted, refused)


def test_each_stage_has_its_own_defaults() -> None:
    stages = (WarmupHead(), Unfreeze(), FoldBn())
    assert [stage.epochs for stage in stages] == [20, 7, 0]
    assert [stage.batch_size for stage in stages] == [64, 16, 32]
    assert [stage.lr for stage in stages] == [0.002, 0.0001, 0.0001]


def test_automatic_batches_have_the_images_of_the_default() -> None:
    assert WarmupHead(batch_size="auto").images_per_step == 64
    assert Unfreeze(batch_size="auto").images_per_step == 16
    assert Unfreeze(batch_size=8).images_per_step == 8


def test_values_that_depend_on_the_data_are_automatic() -> None:
    assert (Unfreeze().depth, Unfreeze().batch_norm) == ("auto", "auto")


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (WarmupHead(), True),
        (WarmupHead(epochs=0), False),
        (WarmupHead(fit="logistic"), False),
        (WarmupHead(fit="svm"), False),
        (Unfreeze(), True),
        (Unfreeze(epochs=0), False),
        (FoldBn(), False),
        (FoldBn(epochs=2), True),
    ],
    ids=str,
)
def test_only_gradient_descent_has_epochs(section: Training, *, expected: bool) -> None:
    assert section.has_epochs is expected
