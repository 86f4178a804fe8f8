from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.verbs import error

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("option", ["--show", "--apply"])
def test_a_search_needs_prepared_data(option: str, project: Path) -> None:
    assert "no prepared data: run `dvc repro prepare`" in error("search", option)


def test_a_device_that_is_not_there_is_refused(project: Path, tuned: None) -> None:
    assert error("search", "--device", "cuda").startswith("--device cuda: ")
    assert error("search", "--device", "gpu").startswith("--device gpu: choose auto, cpu, ")


def test_the_number_of_a_trial_does_not_start_a_search(project: Path) -> None:
    message = error("search", "--trial", "20")
    assert message.startswith("--trial 20 belongs to --apply")
    assert message.endswith("--trials 20")
