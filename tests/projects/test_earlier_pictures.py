from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.stages import small
from thaw.projects.earlier_pictures import draw_missing_picture, missing_picture
from thaw.system.project_paths import MODELS, REPORTS

if TYPE_CHECKING:
    from pathlib import Path

PICTURE = REPORTS / "warmup_head" / "inputs.png"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def size() -> tuple[int, int]:
    with Image.open(PICTURE) as picture:
        return picture.size


def test_a_project_that_has_not_run_lacks_no_picture() -> None:
    assert missing_picture() is None
    draw_missing_picture()
    assert not PICTURE.exists()


def test_the_picture_of_an_earlier_model_is_drawn() -> None:
    small.save_model(MODELS / "warmup_head")
    small.prepare(["train", "val"])
    assert missing_picture() == PICTURE
    draw_missing_picture()
    assert min(size()) > 400
    assert missing_picture() is None


def test_without_prepared_images_the_picture_says_so() -> None:
    small.save_model(MODELS / "warmup_head")
    draw_missing_picture()
    assert size() == (460, 40)


def test_a_picture_that_is_there_is_kept() -> None:
    small.save_model(MODELS / "warmup_head")
    PICTURE.parent.mkdir(parents=True)
    PICTURE.write_bytes(b"of the stage")
    draw_missing_picture()
    assert PICTURE.read_bytes() == b"of the stage"
