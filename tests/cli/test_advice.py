from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from matplotlib.figure import Figure

from tests.cli.verbs import error
from thaw.cli.advice import _PICTURES, _refuse_picture
from thaw.system.pictures import write_figure

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("verb", ["probe", "find-lr"])
def test_a_picture_does_not_replace_the_parameters(verb: str, project: Path) -> None:
    before = (project / "params.yaml").read_bytes()
    assert error(verb, "--picture", "params.yaml").startswith("--picture: params.yaml is ")
    assert (project / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("verb", ["probe", "find-lr"])
@pytest.mark.parametrize("name", ["rates.xyz", "rates.csv", "rates.PNG", "rates.pgf"])
def test_a_picture_in_an_unknown_format_is_refused_before_the_work(
    verb: str, name: str, project: Path
) -> None:
    assert error(verb, "--picture", name) == (
        f"--picture: {name}: give a name that ends in one of .pdf, .png, .svg"
    )


@pytest.mark.parametrize("ending", _PICTURES)
def test_a_picture_replaces_an_earlier_one_of_its_format(ending: str, tmp_path: Path) -> None:
    picture = tmp_path / f"rates{ending}"
    write_figure(Figure(), picture)
    _refuse_picture(picture)


def test_advice_needs_prepared_data(project: Path, tuned: None) -> None:
    assert "no prepared data: run `dvc repro prepare`" in error("advise")


@pytest.mark.parametrize("verb", ["probe", "advise", "find-lr"])
def test_a_device_that_is_not_there_is_refused(verb: str, project: Path, tuned: None) -> None:
    assert error(verb, "--device", "cuda").startswith("--device cuda: ")
    assert error(verb, "--device", "gpu").startswith("--device gpu: choose auto, cpu, ")
