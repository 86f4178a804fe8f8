from __future__ import annotations

from pathlib import Path

import pytest

from thaw.tracking.artifact_places import (
    folder_of_experiment,
    path_of,
    place_below,
    place_of_experiment,
)

ODD = Path("/data/my images/50% ü#?")


@pytest.mark.parametrize("folder", [Path("/data/project/mlruns"), ODD])
@pytest.mark.parametrize("name", ["flowers", "a/b", "50 % ü", "artifacts"])
def test_the_folder_of_a_store_is_read_from_the_place_of_an_experiment(
    folder: Path, name: str
) -> None:
    place = place_of_experiment(folder, name)
    assert path_of(place) is not None
    assert folder_of_experiment(name, place, is_made_by_thaw=False) == folder
    assert folder_of_experiment("renamed", place, is_made_by_thaw=True) == folder
    assert folder_of_experiment("renamed", place, is_made_by_thaw=False) is None


@pytest.mark.parametrize(
    "place", ["/data/mlruns/0", "file:///data/mlruns/3", "s3://bucket/artifacts/a", "", "artifacts"]
)
def test_places_of_other_forms_name_no_store(place: str) -> None:
    assert folder_of_experiment("a", place, is_made_by_thaw=True) is None


@pytest.mark.parametrize("new", [Path("/new/place"), ODD])
@pytest.mark.parametrize("old", [Path("/old"), ODD / "before"])
def test_a_place_below_a_folder_moves_with_it(old: Path, new: Path) -> None:
    inner = "artifacts/a%2Fb/m-1"
    assert place_below(f"{old.as_uri()}/{inner}", old, new) == f"{new.as_uri()}/{inner}"
    assert place_below(f"{old}/0", old, new) == f"{new}/0"
    assert place_below(str(old), old, new) == str(new)


@pytest.mark.parametrize(
    "place", ["/older/0", "file:///older/0", "models:/m-1", "s3://old/a", "/x/old/0", "old/0", ""]
)
def test_other_places_do_not_move(place: str) -> None:
    assert place_below(place, Path("/old"), Path("/new")) is None


def test_only_files_have_a_path() -> None:
    assert path_of("file:///a%20b/c") == path_of("/a b/c") == Path("/a b/c")
    assert path_of("models:/m-1") is path_of("s3://a/b") is None
