from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests import tiny
from tests.ingest.obstacles import KINDS, make_obstacles
from tests.project import ROOT
from thaw import __version__
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.errors import ThawError
from thaw.projects.creation import create_project, is_public_set, template
from thaw.system import tool_lock


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, which is entered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def photos(folder: Path) -> Path:
    return tiny.images(folder / "photos", each=4, size=40)


def params(project: str) -> Params:
    return load(Params, Path(project) / "params.yaml")


def dvc(project: Path, *arguments: str) -> str:
    done = subprocess.run(["dvc", *arguments], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_new_project_has_all_that_dvc_repro_needs(photos: Path) -> None:
    create_project(Path("flowers"), Path("photos"))
    project = Path("flowers")
    assert params("flowers").data.path == str(photos)
    assert params("flowers").tracking.registered_model == "flowers"
    assert tool_lock.read(project / "thaw.lock") == tool_lock.installed()
    assert set(dvc(project, "stage", "list", "--name-only").split()) == set(
        tool_lock.installed().stages
    )


def test_dvc_yaml_is_the_same_in_every_project() -> None:
    assert template("dvc.yaml.template") == (ROOT / "dvc.yaml").read_text()


@pytest.mark.slow
def test_git_sees_neither_pictures_nor_state(photos: Path) -> None:
    create_project(Path("flowers"), None)
    project = Path("flowers")
    tiny.images(project / "data/raw", each=1)
    predictions = ("predictions.csv", "predictions.csv.json")
    exported = ("flowers.onnx", "flowers.pt2")
    for name in ("mlruns/mlflow.db", ".thaw/x.npy", "reports/probe.png", *predictions, *exported):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--cached", "--exclude-standard"],
        cwd=project, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert set(listed) == {
        ".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", "README.md", "dvc.yaml",
        "params.yaml", "params.schema.json", "thaw.lock", "mlruns/README.md", "data/raw/README.md",
    }  # fmt: skip


@pytest.mark.slow
def test_the_readme_of_a_project_says_how_to_install_what_is_not_on_pypi(photos: Path) -> None:
    create_project(Path("flowers"), None)
    text = Path("flowers/README.md").read_text()
    assert "pypi.org" not in text
    assert f"pip install thaw-vision=={__version__}  # not on PyPI yet" in text


@pytest.mark.slow
def test_git_ignores_what_dvc_caches_before_dvc_says_so(photos: Path) -> None:
    # If a stage fails, DVC removes the outputs of those before it from its `.gitignore` files.
    create_project(Path("flowers"), photos)
    kinds: dict[bool, set[str]] = {True: set(), False: set()}  # by: DVC caches it
    for stage in YAML(typ="safe").load(Path("flowers/dvc.yaml"))["stages"].values():
        for entry in stage["outs"] + stage.get("metrics", []) + stage.get("plots", []):
            for path, options in (entry if isinstance(entry, dict) else {entry: {}}).items():
                kinds[options.get("cache", True)].add(path)
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *kinds[True], *kinds[False]],
        cwd="flowers", capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert set(ignored) == kinds[True]
    assert kinds[False] == {"reports/evaluate/metrics.json"}


def test_git_ignores_what_commands_write_in_this_repository_as_in_a_new_project() -> None:
    _, after = template("gitignore", images="").split("# Pages, pictures")
    written = [line for line in after.splitlines() if line.startswith("/")]
    assert "/predictions.csv" in written
    assert set(written) <= set((ROOT / ".gitignore").read_text().splitlines())


@pytest.mark.slow
def test_images_inside_the_project_are_named_by_a_relative_path(folder: Path) -> None:
    tiny.images(folder / "flowers/pictures", each=3)
    create_project(Path("flowers"), Path("flowers/pictures"))
    assert params("flowers").data.path == "pictures"
    assert "/pictures/*" in Path("flowers/.gitignore").read_text()


@pytest.mark.slow
def test_images_in_data_raw_are_found_without_an_option(folder: Path) -> None:
    tiny.images(folder / "flowers/data/raw", each=3)
    found = create_project(Path("flowers"), None)
    assert found is not None
    assert found.counts == {"blue": 3, "green": 3, "red": 3}


@pytest.mark.slow
def test_a_folder_that_is_a_project_is_refused(photos: Path) -> None:
    create_project(Path("flowers"), photos)
    with pytest.raises(ThawError, match=r"flowers is a project already .* `thaw upgrade`"):
        create_project(Path("flowers"), photos)


@pytest.mark.parametrize("name", [".gitignore", "mlruns/README.md", ".dvcignore"])
def test_no_file_is_overwritten(name: str, photos: Path) -> None:
    path = Path("flowers", name)
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    before = sorted(Path("flowers").rglob("*"))
    with pytest.raises(ThawError, match="nothing is overwritten"):
        create_project(Path("flowers"), photos)
    assert sorted(Path("flowers").rglob("*")) == before
    assert path.read_text() == "mine"


@pytest.mark.slow
def test_an_existing_readme_stays(photos: Path) -> None:
    Path("flowers").mkdir()
    Path("flowers/README.md").write_text("mine")
    create_project(Path("flowers"), photos)
    assert Path("flowers/README.md").read_text() == "mine"


def test_images_that_contain_the_project_are_refused_and_nothing_is_left(photos: Path) -> None:
    with pytest.raises(
        ThawError,
        match=r"^--images: the new project, .*, would be in .*/photos: choose another DIR",
    ):
        create_project(photos / "project", photos)
    assert not (photos / "project").exists()


def test_images_beside_outputs_of_the_project_are_refused_once(folder: Path) -> None:
    tiny.images(folder / "flowers/data", each=3)
    with pytest.raises(ThawError) as caught:
        create_project(Path("flowers"), Path("flowers/data"))
    message = str(caught.value)
    assert message.startswith("--images: data contains data/prepared, which the stage prepare ")
    assert "params.yaml" not in message
    assert "\n" not in message
    assert sorted(path.name for path in Path("flowers").iterdir()) == ["data"]


@pytest.mark.parametrize(
    ("classes", "reason"), [((), "contains no images"), (("red",), "only one class")]
)
def test_images_without_two_classes_are_refused_and_nothing_is_written(
    folder: Path, classes: tuple[str, ...], reason: str
) -> None:
    (folder / "photos").mkdir()
    tiny.images(folder / "photos", classes=classes, each=3)
    with pytest.raises(
        ThawError, match=rf"^--images: no classifier can be trained \(1 problem\):\n  - .*{reason}"
    ):
        create_project(Path("new/flowers"), Path("photos"))
    assert not Path("new").exists()


@pytest.mark.slow
def test_a_folder_with_other_files_is_refused_unless_that_is_stated(folder: Path) -> None:
    tiny.images(folder / "work/photos", each=3)
    (folder / "work/thesis.tex").touch()
    (folder / "work/inner").mkdir()
    before = sorted(folder.rglob("*"))
    with pytest.raises(ThawError, match=r"holds other files \(inner, thesis.tex\).* --existing"):
        create_project(Path("work/inner/.."), Path("work/photos"))
    assert sorted(folder.rglob("*")) == before
    create_project(Path("work/inner/.."), Path("work/photos"), existing=True)
    assert params("work").data.path == "photos"


def test_images_that_do_not_exist_are_refused_and_nothing_is_left() -> None:
    with pytest.raises(ThawError, match="--images: there is no "):
        create_project(Path("flowers"), Path("photos"))
    assert not Path("flowers").exists()


def test_a_name_that_is_no_text_is_refused_and_nothing_is_left(photos: Path) -> None:
    undecodable = Path(os.fsdecode(b"caf\xe9"))
    with pytest.raises(ThawError, match=r"the folder of the project .*caf\\udce9"):
        create_project(undecodable, photos)
    assert not undecodable.exists()
    shutil.copytree(photos, undecodable)
    with pytest.raises(ThawError, match=r"--images .*caf\\udce9"):
        create_project(Path("flowers"), undecodable)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_line() -> None:
    Path("locked").mkdir(mode=0o500)
    with pytest.raises(ThawError, match="cannot create a project here"):
        create_project(Path("locked/flowers"), None)


@pytest.mark.slow
def test_images_outside_that_dvc_cannot_read_are_linked_and_prepared_without_the_bad_ones(
    photos: Path,
) -> None:
    make_obstacles(photos / "red")
    create_project(Path("flowers"), Path("photos"))
    project = Path("flowers")
    assert (project / "data/raw").readlink() == photos
    assert params("flowers").data.path == "data/raw"
    assert not (photos / "README.md").exists()
    text = (project / "params.yaml").read_text()
    quarantine = "data:\n  on_error: quarantine\n  max_bad_fraction: 0.6\n"
    (project / "params.yaml").write_text(text.replace("data:\n", quarantine))
    write_values(
        {"backbone.name": "lenet5", "backbone.weights": "none", "backbone.image_size": 32},
        project / "params.yaml",
    )
    dvc(project, "repro", "prepare")
    report = json.loads((project / "reports/prepare/report.json").read_text())
    assert report["images"] == 12
    assert report["left_out"]["files"] == len(KINDS) + 1
    assert "up to date" in dvc(project, "status", "prepare")


@pytest.mark.slow
def test_a_public_data_set_is_read_from_data_raw_and_needs_no_images() -> None:
    assert create_project(Path("textures"), Path("torchvision:DTD")) is None
    data = params("textures").data
    assert (data.source, data.path, data.root) == ("torchvision:DTD", "data/raw", "data/raw")
    assert Path("textures/data/raw/README.md").is_file()


def test_a_folder_with_the_name_of_a_public_data_set_is_a_folder() -> None:
    assert is_public_set(Path("hf:x"))
    assert not is_public_set(None)
    Path("hf:x").mkdir()
    assert not is_public_set(Path("hf:x"))
