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
from thaw.advice.tournament.candidates import sizes
from thaw.config.data_sections import Data
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.parameter_values import CHOSEN_KEYS, auto_keys
from thaw.config.params import Params
from thaw.data.pack_resolution import PixelSize
from thaw.model.head import HeadSpec
from thaw.model.meta_classifier import meta_backbone, meta_classifier
from thaw.projects.image_survey import Survey
from thaw.projects.initial_params import (
    DEFAULT_SIDES,
    initial_params,
    model_name,
    pack_note,
    params_text,
)
from thaw.stages.pack_messages import short_side_that_suffices

DATA = Data(source="folder", path="photos", root="photos")


MADE = initial_params("flowers", DATA)


def test_values_that_depend_on_the_images_are_left_to_the_stages() -> None:
    assert auto_keys(MADE) == list(CHOSEN_KEYS)
    assert (MADE.regularize.calibration, MADE.unfreeze.interpolate) == ("auto", "auto")


def test_a_new_project_decodes_all_pixels_of_a_jpeg_and_earlier_ones_a_part_as_before() -> None:
    assert MADE.prepare.jpeg_pixels == "all"
    assert "jpeg_pixels: all" in params_text(MADE)
    assert Params().prepare.jpeg_pixels == "reduced"


SIZES = [PixelSize(800, 600), PixelSize(600, 800), PixelSize(90, 60)]


def _found(images: int, measured: list[PixelSize]) -> Survey:
    return Survey(DATA, {"a": images - images // 2, "b": images // 2}, sizes=measured)


def test_photographs_are_packed_for_the_largest_input_that_is_compared() -> None:
    made = initial_params("flowers", DATA, _found(100, SIZES))
    assert made.prepare.short_side == 402  # 352 pixels, of which 0.875 are seen
    assert "short_side: 402" in params_text(made)
    assert _needed(made) == 402
    (line,) = pack_note(made)
    assert "with a short side of 402 pixels" in line


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (100, [PixelSize(64, 64)]),
        (100, [PixelSize(256, 256)]),
        (100, []),  # of shards, for example
        (1_000_000, SIZES),  # 300 GB
    ],
)
def test_small_images_and_large_packs_have_the_default_short_side(
    images: int, found: list[PixelSize]
) -> None:
    made = initial_params("flowers", DATA, _found(images, found))
    assert made == MADE
    assert "short_side" not in params_text(made)
    assert pack_note(made) == []


def _needed(made: Params) -> int:
    """Return the short side that the images need if they are packed as ``made`` says."""
    return short_side_that_suffices(made, SIZES, DEFAULT_SIDES)


def test_the_default_backbone_has_the_sides_that_a_new_project_assumes() -> None:
    backbone = meta_backbone(MADE.backbone.name)
    assert backbone.image_size == DEFAULT_SIDES.native
    assert max(sizes(backbone.image_size, 10_000)) == DEFAULT_SIDES.largest
    meta_classifier(backbone, HeadSpec(), 2, DEFAULT_SIDES.largest)


def test_a_new_project_has_a_calibration_in_place_of_smoothed_labels() -> None:
    assert MADE.regularize.label_smoothing == 0
    assert "label_smoothing: 0.0" in params_text(MADE)
    assert Params().regularize.label_smoothing == 0.1


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
