"""Short trainings on a GPU: their losses are those of the CPU, within a tolerance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.golden import cases, stages

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.gpu

EXPECTED = json.loads((Path(__file__).parent / "golden/trainings.json").read_text())["cases"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("gpu"))
        stages.make_project()
        yield


@pytest.mark.parametrize("name", ["train-cached", "affine-augmented", "all-blocks-uncached"])
def test_a_training_on_a_gpu_has_the_losses_of_the_cpu(name: str, project: None) -> None:
    found = stages.run_in_process(cases.CASES[name])
    for stage in stages.TRAINING:
        for loss in ("train_loss", "val_loss"):
            expected = EXPECTED[name][stage][loss]
            assert found[stage][loss] == pytest.approx(expected, rel=0.05, abs=0.02), stage
