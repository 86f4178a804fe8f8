from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thaw.config.loading import load
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.projects.parameter_file import converted_parameters

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file of parameters."""
    return tmp_path / "params.yaml"


def complete(text: str) -> str:
    """Return ``text`` with all sections that it does not have, empty."""
    names = [name for name in Params.model_fields if f"{name}:" not in text]
    return text + "".join(f"{name}: {{}}\n" for name in names if name != "seed")


def test_a_current_file_stays_as_it_is(path: Path) -> None:
    path.write_text(complete("seed: 3  # of everything\nunfreeze:\n  depth: 2\n"))
    assert converted_parameters(path) == (path.read_text(), [])


def test_a_renamed_parameter_keeps_its_value_and_other_comments_stay(path: Path) -> None:
    path.write_text(
        complete("seed: 3  # of everything\nlaunch:\n  workers: 2\n  threads: 1 # few\n")
    )
    text, renames = converted_parameters(path)
    assert renames == [("launch.workers", "resources.workers")]
    assert "seed: 3  # of everything" in text
    assert "# few" in text
    path.write_text(text)
    assert load(Params, path).resources.workers == 2
    assert converted_parameters(path) == (text, [])


@pytest.mark.parametrize("end", ["", "\n"])
def test_missing_sections_are_added_empty(end: str, path: Path) -> None:
    path.write_text("data:\n  path: photos" + end)
    text, _ = converted_parameters(path)
    assert "\nhead: {}\n" in text
    assert "\nseed: 0\n" in text
    path.write_text(text)
    assert load(Params, path).data.path == "photos"


def test_a_file_that_is_not_valid_is_refused(path: Path) -> None:
    path.write_text("unfreeze:\n  dept: 3\n")
    with pytest.raises(ThawError, match=r"unfreeze.dept"):
        converted_parameters(path)
