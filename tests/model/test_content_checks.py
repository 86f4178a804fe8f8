from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.registry.hostile import CHANGES, resealed
from tests.registry.served import model_directory, with_statistics
from thaw.errors import ThawError
from thaw.model import directory

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = [name for number, name in enumerate(CHANGES) if number % 6 == 0 or "statistics" in name]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with statistics, as it is registered."""
    folder = tmp_path_factory.mktemp("models")
    model_directory(folder / "plain")
    with_statistics(folder / "plain", folder / "merged")
    directory.load(folder / "merged")
    return folder / "merged"


@pytest.mark.parametrize(
    "change", [pytest.param(c, marks=() if c in SAMPLE else pytest.mark.soak) for c in CHANGES]
)
def test_a_model_that_cannot_serve_is_refused_in_one_line_within_a_second(
    change: str, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    CHANGES[change](folder)
    resealed(folder)
    begun = time.process_time()
    with pytest.raises(ThawError) as refused:
        directory.load(folder)
    assert time.process_time() - begun < 1
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000
    assert not (folder / "ran").exists()


def test_a_whole_model_with_new_digests_is_loaded(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    assert resealed(folder) == directory.load(folder)[1].digest


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("weights: one too many", r"Unexpected key\(s\) in state_dict: \"extra\""),
        ("weights: beyond float32", r"head\.1\.weight has values that are not finite"),
    ],
)
def test_the_tensor_that_does_not_fit_is_named(
    change: str, reason: str, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    CHANGES[change](folder)
    resealed(folder)
    with pytest.raises(ThawError, match=reason):
        directory.load(folder)
