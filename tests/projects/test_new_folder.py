from __future__ import annotations

from pathlib import Path

import pytest

from thaw.errors import ThawError
from thaw.projects.new_folder import (
    new_folder,
    refuse_nested,
    refuse_other_files,
    refuse_project,
    removed_on_failure,
)


def test_the_files_of_a_fresh_repository_and_the_images_are_no_other_files(tmp_path: Path) -> None:
    for name in ("README.md", "LICENSE", ".gitignore", "labels.csv"):
        (tmp_path / name).touch()
    for name in (".git", ".venv", "venv", "data"):
        (tmp_path / name).mkdir()
    refuse_other_files(tmp_path, tmp_path / "labels.csv")


def test_other_files_are_named(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(ThawError, match=r"0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 3 more"):
        refuse_other_files(tmp_path, None)


def test_images_elsewhere_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(ThawError, match="photos"):
        refuse_other_files(tmp_path, tmp_path.parent / "photos")
    refuse_other_files(tmp_path, tmp_path / "photos/deep")


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "thaw.lock", ".dvc"])
def test_a_project_is_refused(tmp_path: Path, name: str) -> None:
    refuse_project(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(ThawError, match=f"is a project already .it has {name}"):
        refuse_project(tmp_path)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(ThawError, match="x is not a folder"):
        refuse_project(tmp_path / "x")


def test_new_folders_are_removed_if_they_stay_empty(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a/b"):
        assert (tmp_path / "a/b").is_dir()
    assert not (tmp_path / "a").exists()
    with new_folder(tmp_path / "a/b"):
        (tmp_path / "a/b/x").touch()
    assert (tmp_path / "a/b/x").exists()


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    with new_folder(tmp_path):
        pass
    assert tmp_path.is_dir()


def test_a_failed_creation_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path(".gitignore").write_text("mine")
    paths = [Path(name) for name in (".git", ".gitignore", "data/raw", "mlruns/README.md", "a")]
    with pytest.raises(ThawError, match="full"), removed_on_failure(paths):
        _write_in_part(paths)
    assert sorted(map(str, Path().rglob("*"))) == [".gitignore", "data"]
    assert Path(".gitignore").read_text() == "mine"


def _write_in_part(paths: list[Path]) -> None:
    git, _, images, readme, _ = paths
    git.mkdir()
    (git / "HEAD").touch()
    images.symlink_to("..")
    readme.parent.mkdir()
    readme.touch()
    raise ThawError("the disk is full")


def test_a_folder_inside_of_a_project_is_refused(tmp_path: Path) -> None:
    refuse_nested(tmp_path / "a/b")
    for name in ("params.yaml", "thaw.lock"):
        (tmp_path / name).touch()
    refuse_nested(tmp_path)
    with pytest.raises(ThawError, match=rf"a/b is inside of the project {tmp_path}, .*outside"):
        refuse_nested(tmp_path / "a/b")


def test_a_project_may_be_made_in_a_clone_of_thaw(tmp_path: Path) -> None:
    for name in ("params.yaml", "thaw.lock"):
        (tmp_path / name).touch()
    (tmp_path / "src/thaw").mkdir(parents=True)  # and the package is installed elsewhere
    refuse_nested(tmp_path / "flowers")


def test_a_folder_beside_the_project_in_which_one_is_may_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for name in ("params.yaml", "thaw.lock"):
        (project / name).touch()
    monkeypatch.chdir(project)
    refuse_nested(Path("../new"))
    with pytest.raises(ThawError, match="inside of the project"):
        refuse_nested(Path("../project/new"))
