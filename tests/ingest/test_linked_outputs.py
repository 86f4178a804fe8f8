"""Links below the data folder, and CSV rows, that lead into outputs: the same in every verb."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests import tiny
from tests.project import ROOT
from thaw.cli import pipeline
from thaw.cli.early_checks import refuse_unusable_parameters
from thaw.cli.project_folder import load_params
from thaw.errors import ThawError
from thaw.ingest.linked_outputs import refuse_linked_outputs
from thaw.stages import prepare
from thaw.system import tool_lock
from thaw.system.project_paths import TOOL_LOCK


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with images in pics; outputs exist. It is the working directory."""
    folder = tmp_path / "project"
    tiny.images(folder / "pics", each=12)
    (folder / "data").mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    tool_lock.write(tool_lock.installed(), folder / TOOL_LOCK)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    source("folder", "pics")
    for place in ("models/unfreeze", "reports/prepare", "data/prepared", ".thaw", "mlruns"):
        Path(place).mkdir(parents=True)
    return folder


def source(kind: str, path: str, *, follow: bool = False) -> None:
    """Write params.yaml for the source ``kind`` at ``path``; rows of a CSV are relative to pics."""
    lines = (ROOT / "params.yaml").read_text().splitlines(keepends=True)
    start = next(i for i, line in enumerate(lines) if line.startswith("data:"))
    end = next(i for i in range(start + 1, len(lines)) if lines[i][:1].isalpha())
    data = (
        f"data:\n  source: {kind}\n  path: {path}\n  root: pics\n"
        f"  follow_links: {str(follow).lower()}\n\n"
    )
    Path("params.yaml").write_text("".join([*lines[:start], data, *lines[end:]]))


def image(place: str) -> Path:
    """Put an image at ``place`` in the project."""
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(next(Path("pics/red").glob("*.png")), path)
    return path


def assert_refused(*named: str) -> None:
    """Check that `thaw check`, the stage prepare and each other stage refuse; no file is lost."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    others = load_params()
    for refuse in (pipeline.check, prepare.main, lambda: refuse_unusable_parameters(others)):
        with pytest.raises(ThawError, match="files in outputs of the project") as caught:
            refuse()
        assert all(name in str(caught.value) for name in named), str(caught.value)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize(
    ("place", "owner"),
    [
        ("reports/prepare/samples.png", "the stage prepare"),
        ("data/prepared/images.bin", "the stage prepare"),
        ("models/unfreeze/model.safetensors", "the stage unfreeze"),
        (".thaw/x.png", "thaw"),
        ("mlruns/x.png", "MLflow"),
        (".dvc/x.png", "DVC"),
        ("dvc.lock", "DVC"),
    ],
)
def test_a_link_to_a_file_in_an_output_is_refused(
    project: Path, place: str, owner: str, *, follow: bool
) -> None:
    image(place)
    (project / "pics/red/linked.png").symlink_to(project / place)
    source("folder", "pics", follow=follow)
    assert_refused(f"pics/red/linked.png ({project / place})", f"which {owner} writes or removes")


def test_a_chain_of_links_into_an_output_is_refused(project: Path) -> None:
    image("reports/prepare/samples.png")
    (project.parent / "hop").symlink_to("project/reports")
    (project / "pics/red/linked.png").symlink_to("../../../hop/prepare/samples.png")
    source("folder", "pics", follow=True)
    assert_refused("pics/red/linked.png")


@pytest.mark.parametrize(
    ("link", "target", "follow"),
    [
        ("pics/red/more", "data/prepared", True),
        ("pics/red/more", ".", True),
        ("pics/red/more", "/", True),
        ("pics/red/a/b/more", "models/unfreeze", True),
        ("pics/grey", "reports/prepare", True),
        ("pics/grey", "reports/prepare", False),
        ("pics/grey", "reports", False),
    ],
)
def test_a_link_to_a_folder_of_outputs_or_around_them_is_refused(
    project: Path, link: str, target: str, *, follow: bool
) -> None:
    image("data/prepared/manifest.csv")
    Path(link).parent.mkdir(parents=True, exist_ok=True)
    Path(link).symlink_to((project / target).resolve())
    source("folder", "pics", follow=follow)
    assert_refused(link)


def test_a_link_in_a_linked_folder_is_refused(project: Path) -> None:
    image("models/unfreeze/mine.png")
    elsewhere = project.parent / "elsewhere/deep"
    elsewhere.mkdir(parents=True)
    (elsewhere / "x.png").symlink_to(project / "models/unfreeze/mine.png")
    (elsewhere / "loop").symlink_to(elsewhere.parent)
    (project / "pics/red/more").symlink_to(elsewhere.parent)
    source("folder", "pics", follow=True)
    assert_refused("pics/red/more/deep/x.png", "models/unfreeze")


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize(
    "row", ["../data/prepared/x.png", "red/linked.png", "{project}/.thaw/x.png"]
)
def test_a_csv_row_in_an_output_is_refused(project: Path, row: str, *, follow: bool) -> None:
    image("data/prepared/x.png")
    image(".thaw/x.png")
    (project / "pics/red/linked.png").symlink_to(project / "data/prepared/x.png")
    rows = [row.format(project=project), "bl\0ue/000.png", "red/000.png"]
    Path("rows.csv").write_text("path,label\n" + "".join(f"{each},red\n" for each in rows))
    source("csv", "rows.csv", follow=follow)
    assert_refused("x.png")


def test_all_links_are_listed(project: Path) -> None:
    for number in range(3):
        image(f"models/unfreeze/{number}.png")
        (project / f"pics/red/x{number}.png").symlink_to(project / f"models/unfreeze/{number}.png")
    assert_refused("(3 problems)", "x0.png", "x1.png", "x2.png")


def test_links_to_other_places_are_valid(project: Path) -> None:
    cached = image(".dvc/cache/files/md5/ab/cdef.png")
    elsewhere = tiny.images(project.parent / "elsewhere", each=3)
    (project / "pics/red/cached.png").symlink_to(cached.resolve())
    (project / "pics/red/inside.png").symlink_to("001.png")
    (project / "pics/red/nowhere.png").symlink_to("../nowhere.png")
    (project / "pics/red/itself.png").symlink_to("itself.png")
    (project / "pics/red/other").symlink_to(elsewhere / "red")
    (project / "pics/red/beside.png").symlink_to(image("models/mine/x.png").resolve())
    source("folder", "pics", follow=True)
    refuse_unusable_parameters(load_params())
    Path("rows.csv").write_text("path,label\nred/cached.png,red\nred/other/000.png,red\n")
    source("csv", "rows.csv", follow=True)
    refuse_unusable_parameters(load_params())


def test_a_missing_folder_and_a_damaged_csv_file_are_left_to_other_checks(project: Path) -> None:
    Path("rows.csv").write_bytes(b"\xff\xfe")
    for kind, path in (("csv", "rows.csv"), ("csv", "nowhere.csv"), ("folder", "nowhere")):
        source(kind, path)
        refuse_unusable_parameters(load_params())
    assert os.fspath(project) == os.getcwd()  # noqa: PTH109


def test_a_link_that_is_removed_while_links_are_followed_is_no_error(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / load_params().data.path / "red/gone.png").symlink_to("000.png")
    real = os.path.realpath

    def remove_first(path: str | Path, **options: bool) -> str:
        if str(path).endswith("gone.png"):
            raise FileNotFoundError(path)  # as where it is removed between two of its calls
        return real(path, **options)

    monkeypatch.setattr(os.path, "realpath", remove_first)
    refuse_linked_outputs(load_params())
