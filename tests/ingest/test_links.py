"""Links in the data folder: into DVC's cache, and others with ``data.follow_links``."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests import tiny
from tests.cli.verbs import run
from tests.ingest.images import read_images
from tests.project import Project
from thaw.config.data_sections import Data
from thaw.config.prepare_section import Prepare
from thaw.data.prepared import Prepared
from thaw.ingest.reading import ReadImage
from thaw.ingest.sources import list_images
from thaw.stages import prepare
from thaw.system.project_paths import PREPARED

if TYPE_CHECKING:
    from pathlib import Path


def read(root: Path, *, follow_links: bool) -> tuple[int, list[str]]:
    """Return the number of images that are read, and a line for each problem."""
    found = list_images(Data(path=str(root), follow_links=follow_links), root)
    items = [*found.bad_files, *read_images(found, Prepare())]
    images = [item for item in items if isinstance(item, ReadImage)]
    return len(images), [i.line(root) for i in items if not isinstance(i, ReadImage)]


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Return a data folder with links to a file, to a class and to a folder inside of a class."""
    root, other = tiny.images(tmp_path / "raw"), tiny.images(tmp_path / "other")
    (root / "red/000.png").unlink()
    (root / "red/000.png").symlink_to(other / "red/000.png")
    shutil.rmtree(root / "blue")
    (root / "blue").symlink_to(other / "blue")
    (root / "green/more").symlink_to(other / "green")
    return root


def test_links_out_of_the_data_folder_are_refused_with_the_remedy(linked: Path) -> None:
    images, problems = read(linked, follow_links=False)
    assert images == 36 - 12 - 1
    assert len(problems) == 1 + 12 + 1
    assert all("follow" in problem and "data.follow_links: true" in problem for problem in problems)


def test_links_are_followed_on_request(linked: Path) -> None:
    assert read(linked, follow_links=True) == (36 + 12, [])


def test_links_that_lead_in_a_circle_or_nowhere_are_named(linked: Path, tmp_path: Path) -> None:
    (linked / "green/up").symlink_to(linked)
    (tmp_path / "other/green/back").symlink_to(tmp_path / "other/green")
    (linked / "red/gone.png").symlink_to(tmp_path / "gone.png")
    images, problems = read(linked, follow_links=True)
    assert images == 36 + 12
    assert sorted(problem.split(": ", 1)[1] for problem in problems) == [
        f"a link to {tmp_path / 'gone.png'}, which does not exist",
        "a link to a folder that contains it",
        "a link to a folder that contains it",
    ]


def test_a_link_to_a_file_that_is_missing_in_the_cache_of_dvc_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tiny.images(tmp_path / "raw")
    (root / "red/gone.png").symlink_to("../../.dvc/cache/files/md5/ab/cdef")
    images, (problem,) = read(root, follow_links=False)
    assert images == 36
    assert problem.endswith(
        "cdef, which does not exist: `dvc pull` fetches files that are missing in DVC's cache"
    )


# DVC copies by default, which the tests of pipelines show.
@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["symlink", "hardlink", pytest.param("reflink,copy", marks=pytest.mark.soak)]
)
def test_images_that_dvc_has_linked_to_its_cache_are_read(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    tiny.images(tmp_path / "data/mine")
    (tmp_path / "images.csv").write_text("path,label\n" + "".join(
        f"{label}/{number:03d}.png,{label}\n" for label in ("red", "blue") for number in range(12)
    ))  # fmt: skip
    with (tmp_path / ".dvc/config").open("a") as config:
        config.write(f"[cache]\n    type = {kind}\n")
    project.run("dvc", "add", "data/mine", "images.csv")
    image = tmp_path / "data/mine/red/000.png"
    assert image.is_symlink() is (kind == "symlink")
    project.set(data__source="folder", data__path="data/mine", data__root="data/mine")
    project.set(backbone__name="lenet5", backbone__weights="none", unfreeze__depth=1)
    monkeypatch.chdir(tmp_path)
    run("check")
    prepare.main()
    assert len(Prepared(PREPARED).manifest.rows) == 36
    before = {path: path.read_bytes() for path in tmp_path.glob(".dvc/cache/files/md5/*/*")}
    project.set(data__source="csv", data__path="images.csv")
    prepare.main()
    assert len(Prepared(PREPARED).manifest.rows) == 24
    assert {path: path.read_bytes() for path in before} == before
