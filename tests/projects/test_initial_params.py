from __future__ import annotations

import re
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
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.parameter_values import CHOSEN_KEYS, auto_keys
from thaw.config.params import Params
from thaw.projects.initial_params import initial_params, model_name, params_text

DATA = Data(source="folder", path="photos", root="photos")


MADE = initial_params("flowers", DATA)


def test_values_that_depend_on_the_images_are_left_to_the_stages() -> None:
    assert auto_keys(MADE) == list(CHOSEN_KEYS)
    regularize = MADE.regularize
    assert (regularize.label_smoothing, regularize.calibration) == ("auto", "auto")
    assert MADE.unfreeze.interpolate == "auto"


def test_a_new_project_decodes_all_pixels_of_a_jpeg_and_earlier_ones_a_part_as_before() -> None:
    assert MADE.prepare.jpeg_pixels == "all"
    assert "jpeg_pixels: all" in params_text(MADE)
    assert Params().prepare.jpeg_pixels == "reduced"


def test_the_short_side_of_the_packed_images_is_written_where_it_is_given() -> None:
    made = initial_params("flowers", DATA, 402)
    assert made.prepare.short_side == 402
    assert "short_side: 402" in params_text(made)
    assert "short_side" not in params_text(MADE)


def test_the_written_file_loads_as_the_same_parameters(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(params_text(MADE))
    assert load(Params, path) == MADE


def test_the_file_has_every_section_that_dvc_tracks_and_at_most_40_lines() -> None:
    text = params_text(MADE)
    assert len(text.splitlines()) <= 40
    stages: dict[str, Any] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    tracked = {name for stage in stages.values() for name in stage["params"] if type(name) is str}
    assert tracked <= set(YAML(typ="safe").load(text))


@pytest.mark.parametrize("path", ["photos", "a: b", "é", "/data" + "/long name" * 20, "x" * 300])
def test_dvc_changes_one_line_of_the_file(tmp_path: Path, path: str) -> None:
    data = Data(source="folder", path=path, root=path)
    text = params_text(initial_params("flowers", data))
    file = tmp_path / "params.yaml"
    file.write_text(text)
    assert load(Params, file).data.path == path
    apply_overrides(file, ["unfreeze.depth=3"])
    assert file.read_text() == text.replace("depth: auto", "depth: 3")


def test_dvc_keeps_every_byte_for_a_value_that_is_there_also_after_advice(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(params_text(initial_params("flowers", Data(source="folder"))))
    advised = {
        "head.taps": [3, 5],
        "warmup_head.fit": "lda",
        "unfreeze.blocks": [1, 5],
        "unfreeze.lr": 1e-5,
        "unfreeze.refit": "on",
        "promote.not_worse": {"accuracy": 0.01},
    }
    for values in ({}, advised):
        write_values(values, file)
        before = file.read_bytes()
        apply_overrides(file, ["seed=0"])
        assert file.read_bytes() == before


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
    made_params = initial_params(model_name(name), data)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        file.write_text(params_text(made_params), encoding="utf-8")
        assert load(Params, file) == made_params


def test_the_documented_lines_give_the_choices_of_a_new_project(tmp_path: Path) -> None:
    text = (ROOT / "docs/method.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```yaml\n(prepare:.*?)^```", text, re.MULTILINE | re.DOTALL)
    path = tmp_path / "params.yaml"
    path.write_text(f"data:\n  source: folder\n  path: images\n{lines}")
    found, new = load(Params, path), initial_params("classifier", Data())
    same = {"data": new.data, "tracking": new.tracking}
    assert found.model_copy(update=same) == new
