"""Tests of the parameter files in examples/."""

from __future__ import annotations

import pytest

from tests.project import ROOT
from thaw.config.data_sections import Data
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.projects.creation import IMAGES
from thaw.projects.initial_params import initial_params, params_text

SOURCES = {
    "digits": "digits",
    "pets": "torchvision:OxfordIIITPet",
    "flowers": "torchvision:Flowers102",
    "textures": "torchvision:DTD",
    "satellite": "torchvision:EuroSAT",
}


@pytest.mark.parametrize("name", SOURCES)
def test_an_example_is_what_thaw_init_writes_for_its_data_set(name: str) -> None:
    path = ROOT / "examples" / f"{name}.yaml"
    data = Data(source=SOURCES[name], path=str(IMAGES), root=str(IMAGES))
    assert path.read_text(encoding="utf-8") == params_text(initial_params(name, data))
    assert load(Params, path).data.source == SOURCES[name]


def test_each_example_has_a_row_with_an_accuracy_or_says_that_there_is_none() -> None:
    table = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    files = {path.stem for path in (ROOT / "examples").glob("*.yaml")}
    assert files == SOURCES.keys()
    for name, source in SOURCES.items():
        (row,) = [line for line in table.splitlines() if line.startswith(f"| `{name}.yaml` |")]
        assert f"`{source}`" in row
        assert "not measured here" in row or "test images" in row
