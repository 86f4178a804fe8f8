from __future__ import annotations

from pathlib import Path

import pytest

from thaw.errors import ProblemsError
from thaw.serving.image_files import FoundImages
from thaw.serving.prediction_summary import Summary


def summary(drift: tuple[float, int] | None = None) -> Summary:
    found = FoundImages(["a.png", "b.png"], 3, [("locked", "Permission denied")], ["@eaDir"])
    return Summary(Path("out.csv"), "m version 1", 1, 4, found, [("b.png", "cut")], drift)


def test_the_content_names_what_has_no_row_and_what_was_skipped() -> None:
    assert summary((0.5, 9)).content() == {
        "file": Path("out.csv"),
        "model": "m version 1",
        "computed": 1,
        "done_before": 4,
        "unreadable": {"locked": "Permission denied", "b.png": "cut"},
        "skipped_files": 3,
        "skipped_folders": ["@eaDir"],
        "drift": {"score": 0.5, "images": 9},
    }
    assert summary().content()["drift"] is None


def test_images_and_folders_without_a_row_are_an_error() -> None:
    with pytest.raises(ProblemsError, match=r"locked.*Permission denied(.|\n)*b\.png.*cut"):
        summary().raise_problems()
