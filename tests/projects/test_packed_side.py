from __future__ import annotations

import pytest

from thaw.advice.tournament.candidates import sizes
from thaw.config.data_sections import Data
from thaw.data.pack_resolution import PixelSize
from thaw.model.head import HeadSpec
from thaw.model.meta_classifier import meta_backbone, meta_classifier
from thaw.projects.image_survey import Survey
from thaw.projects.initial_params import initial_params
from thaw.projects.packed_side import DEFAULT_SIDES, PackedSide, packed_side
from thaw.stages.pack_side_check import short_side_that_suffices

DATA = Data(source="folder", path="photos", root="photos")
PARAMS = initial_params("flowers", DATA)
SIZES = [PixelSize(800, 600), PixelSize(600, 800), PixelSize(90, 60)]


def survey(images: int, measured: list[PixelSize]) -> Survey:
    return Survey(DATA, {"a": images - images // 2, "b": images // 2}, sizes=measured)


def test_photographs_are_packed_for_the_largest_input_that_is_compared() -> None:
    found = packed_side(PARAMS, survey(300, SIZES))
    assert found.pixels == 402  # 352 pixels, of which 0.875 are seen
    made = initial_params("flowers", DATA, found.pixels)
    assert short_side_that_suffices(made, SIZES, DEFAULT_SIDES) == found.pixels
    # Two of three images have 402 x 536 pixels, the third one 60 x 90.
    assert found.note == (
        "prepare.short_side is 402 in params.yaml (default 256): the stages compare larger inputs "
        "of the network for these images. data/prepared will take about 0.1 GB"
    )


@pytest.mark.parametrize(
    "measured",
    [
        [PixelSize(64, 64)],
        [PixelSize(256, 256)],
        [],  # of shards, for example
    ],
)
def test_small_images_have_the_default_short_side(measured: list[PixelSize]) -> None:
    assert packed_side(PARAMS, survey(100, measured)) == PackedSide(256)


def test_a_pack_that_would_be_too_large_keeps_the_default_and_says_so() -> None:
    found = packed_side(PARAMS, survey(1_000_000, SIZES))
    assert found.pixels == 256
    assert found.note.startswith("prepare.short_side stays at 256. With 402, the largest inputs")
    assert "data/prepared would take about 436.3 GB" in found.note


def test_the_default_backbone_has_the_sides_that_a_new_project_assumes() -> None:
    backbone = meta_backbone(PARAMS.backbone.name)
    assert backbone.image_size == DEFAULT_SIDES.native
    assert max(sizes(backbone.image_size, 10_000)) == DEFAULT_SIDES.largest
    meta_classifier(backbone, HeadSpec(), 2, DEFAULT_SIDES.largest)
