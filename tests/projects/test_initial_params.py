from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tests.project import ROOT
from thaw.config.data_sections import Data
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.projects.image_survey import Survey
from thaw.projects.initial_params import initial_params, model_name, params_text

DATA = Data(source="folder", path="photos", root="photos")


def made(side: int) -> Params:
    """Return the parameters for images with a short side of ``side`` pixels."""
    return initial_params("flowers", DATA, Survey(DATA, {"a": 3, "b": 3}, short_sides=[side]))


@pytest.mark.parametrize(
    ("side", "size", "crop"),
    [(8, 64, 1.0), (40, 64, 1.0), (100, 128, 1.0), (220, 224, 1.0), (600, 224, 0.875)],
)
def test_the_image_size_follows_the_images(side: int, size: int, crop: float) -> None:
    backbone = made(side).backbone
    assert (backbone.image_size, backbone.crop_pct) == (size, crop)


def test_the_written_file_loads_as_the_same_parameters(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(params_text(made(40)))
    assert load(Params, path) == made(40)


def test_the_file_has_every_section_that_dvc_tracks_and_at_most_40_lines() -> None:
    text = params_text(made(40))
    assert len(text.splitlines()) <= 40
    stages: dict[str, Any] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    tracked = {name for stage in stages.values() for name in stage["params"] if type(name) is str}
    assert tracked <= set(YAML(typ="safe").load(text))


@pytest.mark.parametrize("path", ["photos", "a: b", "é", "/data" + "/long name" * 20, "x" * 300])
def test_dvc_changes_one_line_of_the_file(tmp_path: Path, path: str) -> None:
    data = Data(source="folder", path=path, root=path)
    text = params_text(initial_params("flowers", data, None))
    file = tmp_path / "params.yaml"
    file.write_text(text)
    assert load(Params, file).data.path == path
    apply_overrides(file, ["unfreeze.depth=3"])
    assert file.read_text() == text.replace("depth: auto", "depth: 3")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("flowers", "flowers"),
        ("my flowers!", "my-flowers"),
        ("Öl 2", "Öl-2"),
        ("...", "classifier"),
    ],
)
def test_the_model_is_named_after_the_folder(folder: str, name: str) -> None:
    assert model_name(folder) == name


@pytest.mark.property
@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(min_size=1))
def test_any_path_and_any_name_of_a_folder_come_back_from_the_file(path: str, name: str) -> None:
    data = Data(source="csv", path=path, root=path)
    made_params = initial_params(model_name(name), data, None)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        file.write_text(params_text(made_params), encoding="utf-8")
        assert load(Params, file) == made_params
