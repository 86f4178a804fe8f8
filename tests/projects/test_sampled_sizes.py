from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests import tiny
from thaw.data.pack_resolution import PixelSize
from thaw.ingest.listing import Listing, Sample
from thaw.projects.sampled_sizes import sampled, sampled_sizes, shape_problems

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("count", "expected"), [(0, 0), (399, 399), (799, 799), (800, 400), (1_000_000, 400)]
)
def test_of_a_large_set_a_part_is_read(tmp_path: Path, count: int, expected: int) -> None:
    found = Listing(tmp_path, [Sample("a.png", "a")] * count, ["a"])
    assert len(sampled(found)) == expected


def test_only_images_have_a_size(tmp_path: Path) -> None:
    images = tiny.images(tmp_path / "photos", classes=("red",), each=1, size=24)
    Image.new("RGB", (40, 30)).save(images / "red/wide.png")
    (images / "red/broken.png").write_bytes(b"no image")
    os.mkfifo(images / "red/pipe.png")
    names = ("000.png", "wide.png", "broken.png", "pipe.png", "missing.png")
    found = Listing(images, [Sample(f"red/{name}", "red") for name in names], ["red"])
    assert sampled_sizes(found) == {"red/000.png": (24, 24), "red/wide.png": (40, 30)}


def test_a_line_of_pixels_is_a_problem(tmp_path: Path) -> None:
    found = Listing(tmp_path, [], [])
    sizes = {"a.png": PixelSize(301, 3), "b.png": PixelSize(300, 3)}
    (problem,) = shape_problems(found, sizes)
    assert problem.startswith(f"{tmp_path}/a.png: 301 x 3 pixels: one side is more than 100")
