from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.verbs import error

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("verb", ["probe", "find-lr"])
def test_a_picture_does_not_replace_the_parameters(verb: str, project: Path) -> None:
    before = (project / "params.yaml").read_bytes()
    assert error(verb, "--picture", "params.yaml").startswith("--picture: params.yaml is ")
    assert (project / "params.yaml").read_bytes() == before


def test_advice_needs_prepared_data(project: Path, tuned: None) -> None:
    assert "no prepared data: run `dvc repro`" in error("advise")


@pytest.mark.parametrize("verb", ["probe", "advise", "find-lr"])
def test_a_device_that_is_not_there_is_refused(verb: str, project: Path, tuned: None) -> None:
    assert error(verb, "--device", "cuda").startswith("--device cuda: ")
    assert error(verb, "--device", "gpu").startswith("--device gpu: choose auto, cpu, ")
