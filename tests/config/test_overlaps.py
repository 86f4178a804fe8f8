"""Inputs that overlap with outputs are refused by `thaw check` and by the stages."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests import tiny
from tests.cli.verbs import error
from tests.forks import in_child
from tests.project import ROOT
from thaw.advice.linear_probes import Probe
from thaw.cli import pipeline
from thaw.config import overlaps
from thaw.errors import ThawError
from thaw.evaluation.probe_plot import draw
from thaw.stages import prepare
from thaw.system import project_paths, tool_lock
from thaw.system.project_paths import TOOL_LOCK
from thaw.system.stage_names import STAGES

THAW = Path(sys.executable).parent / "thaw"
CLONE_NEWNS = 0x20000  # of sched.h: mounts of this process only
CHECKED = [("check",), ("stage", "prepare"), ("stage", "warmup_head"), ("stage", "evaluate")]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with params.yaml and an empty data/raw, as the working directory."""
    folder = tmp_path / "project"
    (folder / "data/raw").mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder)
    tool_lock.write(tool_lock.installed(), folder / TOOL_LOCK)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


def edit(**values: object) -> None:
    """Set parameters: ``edit(data__path="x")`` sets ``data.path``."""
    yaml, path = YAML(), Path("params.yaml")
    content = yaml.load(path)
    for name, value in values.items():
        section, key = name.split("__")
        content[section][key] = value
    yaml.dump(content, path)


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below ``folder`` except for the lock, by path."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in {"prepare.lock", "prepare.pid"}
    }


def thaw(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([THAW, *arguments], capture_output=True, text=True, timeout=300)


def assert_refused(folder: Path, *named: str, verbs: list[tuple[str, ...]] = CHECKED) -> None:
    """Check that every verb exits with 2 and prints ``named``, and that no file is changed."""
    before = contents(folder)
    assert sum(name.endswith(".png") for name in before) >= 36
    for verb in verbs:
        if verb == ("check",):
            message = f"error: {error(*verb)}"
        else:
            done = thaw(*verb)
            message = done.stderr
            assert done.returncode == 2, (verb, message)
        assert "Traceback" not in message
        assert all(name in message for name in named), message
        assert contents(folder) == before


def assert_lost_nothing(folder: Path, *named: str) -> None:
    """Check that `thaw check` and the stage prepare refuse, in this process, and change no file."""
    before = contents(folder)
    assert sum(name.endswith(".png") for name in before) >= 36
    for refuse in (pipeline.check, prepare.main):
        with pytest.raises(ThawError) as caught:
            refuse()
        assert all(name in str(caught.value) for name in named), str(caught.value)
        assert contents(folder) == before


# Paths that overlap, in any spelling


@pytest.mark.slow
def test_images_in_the_prepared_data_are_refused_by_every_verb_and_kept(project: Path) -> None:
    tiny.images(project / "data/prepared/mine")
    edit(data__source="folder", data__path="data/prepared/mine")
    assert_refused(
        project,
        "error: params.yaml: data.path: data/prepared/mine is inside data/prepared, which the "
        "stage prepare writes or removes",
    )


@pytest.mark.parametrize(
    "spelling",
    [
        "data/prepared",
        "./data/prepared/",
        "data/../data/prepared/mine",
        "data/raw/../prepared/mine/.",
        "data//prepared//mine//",
        "{project}/data/prepared/mine",
        "../project/data/prepared/mine",
    ],
)
def test_other_spellings_of_the_same_folder_are_refused(project: Path, spelling: str) -> None:
    tiny.images(project / "data/prepared/mine")
    edit(data__source="folder", data__path=spelling.format(project=project))
    assert_lost_nothing(project, "data.path", "data/prepared, which the stage prepare")


def test_the_same_path_under_two_keys_is_one_line(project: Path) -> None:
    tiny.images(project / "data/prepared/mine")
    place = "data/prepared/mine"
    edit(data__source="folder", data__path=place, data__root=place)
    message = error("check")
    assert message.startswith(f"params.yaml: data.path: {place} is inside ")
    assert message.endswith("and set data.path and data.root")
    assert "\n" not in message


@pytest.mark.parametrize(
    "place",
    [
        "models/unfreeze/mine",
        "models/fold_bn",
        "reports/prepare/mine",
        "reports/evaluate/plots/mine",
        ".thaw/mine",
        "mlruns/mine",
        ".dvc/mine",
        ".git/mine",
    ],
)
def test_images_in_any_other_output_are_refused(project: Path, place: str) -> None:
    tiny.images(project / place)
    edit(data__source="folder", data__path=place)
    assert_lost_nothing(project, f"data.path: {place}")


@pytest.mark.parametrize("parent", [".", "data", "models", "reports", "..", "/"])
def test_a_folder_that_contains_an_output_is_refused(project: Path, parent: str) -> None:
    tiny.images(project / "data/raw/mine")
    (project / "models").mkdir()
    (project / "reports").mkdir()
    edit(data__source="folder", data__path=parent)
    assert_lost_nothing(project, f"data.path: {parent} ", "contains")


def test_a_link_to_a_folder_in_an_output_is_refused_with_its_target(project: Path) -> None:
    real = tiny.images(project / "data/prepared/mine")
    (project / "photos").symlink_to("data/prepared/mine")
    edit(data__source="folder", data__path="photos")
    assert_lost_nothing(project, f"data.path: photos ({real}) is inside data/prepared")


@pytest.mark.parametrize("output", ["data/prepared", "models/unfreeze", "reports/prepare", ".thaw"])
def test_an_output_that_is_a_link_to_the_images_is_refused(project: Path, output: str) -> None:
    images = tiny.images(project.parent / "photos")
    (project / output).parent.mkdir(exist_ok=True)
    (project / output).symlink_to(images)
    edit(data__source="folder", data__path="../photos")
    assert_lost_nothing(images, f"data.path: ../photos is {output} ({images})")


def test_a_link_inside_an_output_that_leads_into_the_images_is_refused(project: Path) -> None:
    images = tiny.images(project / "data/raw")
    (project / "reports/prepare").mkdir(parents=True)
    (project / "reports/prepare/samples.png").symlink_to(images / "red/003.png")
    edit(data__source="folder")
    assert_lost_nothing(project, "data.path: data/raw contains reports/prepare/samples.png")


def test_a_link_in_place_of_the_prepared_data_is_refused(project: Path) -> None:
    tiny.images(project / "data/raw")
    other = tiny.images(project.parent / "other")
    (project / "data/prepared").symlink_to(other)
    edit(data__source="folder")
    assert_lost_nothing(project.parent, f"data/prepared is a link to {other}")
    assert (project / "data/prepared").is_symlink()


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount on Linux"
)
@pytest.mark.parametrize(
    ("source", "point", "images", "path", "message"),
    [
        ("data/prepared", "../mounted", "data/prepared/mine", "../mounted/mine",
         "data.path: ../mounted/mine is inside data/prepared"),
        ("data/prepared/mine", "../mounted", "data/prepared/mine", "../mounted",
         "data.path: ../mounted is inside data/prepared"),
        ("reports/evaluate", "../photos/red/more", "../photos", "../photos",
         "photos/red/more is reports/evaluate"),
        ("../photos", "models/unfreeze/x", "../photos", "../photos",
         "data.path: ../photos is models/unfreeze/x"),
        ("..", "../photos/all", "../photos", "../photos", "photos/all contains data/prepared"),
    ],
    ids=["around", "folder of an output", "inside of the images", "in an output", "project"],
)  # fmt: skip
def test_a_mounted_folder_is_refused(
    project: Path, source: str, point: str, images: str, path: str, message: str
) -> None:
    tiny.images(project / images)
    for folder in (source, point):
        (project / folder).mkdir(parents=True, exist_ok=True)
    edit(data__source="folder", data__path=path, data__root=path)
    before = contents(project.parent)
    refusal = in_child(refusal_beside_a_mount, source, point)
    assert refusal is not None, "the child has failed"
    if not refusal:
        pytest.skip("nothing can be mounted here")
    assert message in refusal
    assert contents(project.parent) == before


def refusal_beside_a_mount(source: str, point: str) -> str:
    """Return why the stage prepare refuses, with a mount that ends with this process.

    Return an empty text where nothing can be mounted.
    """
    if ctypes.CDLL(None).unshare(CLONE_NEWNS) != 0:
        return ""
    for arguments in (("--make-rprivate", "/"), ("--bind", source, point)):
        if subprocess.run(["mount", *arguments]).returncode != 0:
            return ""
    try:
        prepare.main()
    except ThawError as refused:
        return str(refused)
    return "nothing was refused"


@pytest.mark.slow
def test_images_around_or_in_what_dvc_writes_are_refused(project: Path) -> None:
    tiny.images(project.parent / "photos")
    tiny.images(project.parent / "cache/files/md5")
    (project / ".dvc").mkdir()
    shared = "[cache]\n    dir = ../../{}\n['remote \"near\"']\n    url = ../../{}\n"
    for cache, remote, path, expected in (
        ("photos/cache", "x", "../photos", f"{project.parent}/photos/cache/files, which DVC"),
        ("x", "photos", "../photos", f"{project.parent}/photos/files, which DVC"),
        ("cache", "x", "../cache/files/md5", f"{project.parent}/cache/files, which DVC"),
    ):
        Path(".dvc/config").write_text(shared.format(cache, remote))
        edit(data__source="folder", data__path=path, data__root=path)
        assert_lost_nothing(project.parent, expected)
    Path(".dvc/config").write_text(shared.format("cache", "shared"))
    edit(data__path="../photos", data__root="../photos")
    pipeline.check()


# CSV files and weights


@pytest.mark.parametrize("path", ["data/prepared/mine.csv", "reports/prepare/report.json"])
def test_a_csv_file_in_an_output_is_refused(project: Path, path: str) -> None:
    tiny.images(project / "data/raw")
    (project / path).parent.mkdir(parents=True)
    (project / path).write_text("path,label\nred/000.png,red\n")
    edit(data__source="csv", data__path=path)
    assert_lost_nothing(project, f"data.path: {path} is inside")


@pytest.mark.parametrize("path", ["dvc.lock", "dvc.yaml", "params.yaml"])
def test_a_csv_file_that_is_a_file_of_the_project_is_refused(project: Path, path: str) -> None:
    tiny.images(project / "data/raw")
    edit(data__source="csv", data__path="linked.csv")
    (project / path).touch()
    (project / "linked.csv").hardlink_to(project / path)
    assert_lost_nothing(project, f"data.path: linked.csv is {path}")


@pytest.mark.parametrize("root", ["data/prepared/mine", "models/unfreeze/mine", ".", "data"])
def test_the_root_of_a_csv_source_is_refused(project: Path, root: str) -> None:
    tiny.images(project / "data/prepared/mine")
    tiny.images(project / "models/unfreeze/mine")
    (project / "images.csv").write_text("path,label\nred/000.png,red\n")
    edit(data__source="csv", data__path="images.csv", data__root=root)
    assert_lost_nothing(project, f"data.root: {root} ")


@pytest.mark.parametrize("place", ["models/fold_bn/merged", "data/prepared", ".thaw"])
def test_a_weights_file_in_an_output_is_refused(project: Path, place: str) -> None:
    tiny.images(project / "data/raw")
    (project / place).mkdir(parents=True)
    (project / place / "model.safetensors").write_bytes(b"weights")
    edit(data__source="folder", backbone__weights=f"{place}/model.safetensors")
    assert_lost_nothing(project, f"backbone.weights: {place}/model.safetensors is inside")


@pytest.mark.parametrize("uri", ["sqlite:///data/raw/mlflow.db", "data/raw/store"])
def test_a_tracking_store_among_the_images_is_refused(project: Path, uri: str) -> None:
    tiny.images(project / "data/raw")
    edit(data__source="folder", tracking__uri=uri)
    assert_lost_nothing(project, "data.path: data/raw contains data/raw/", "MLflow")


@pytest.mark.slow
def test_all_overlaps_are_reported_at_once(project: Path) -> None:
    tiny.images(project / "data/prepared/mine")
    edit(data__path="data/prepared/mine", data__root=".", backbone__weights="mlruns/x.pth")
    lines = thaw("stage", "prepare").stderr.splitlines()
    assert [line.removeprefix("error: ").split(": ")[1] for line in lines] == [
        "data.path",
        "data.root",
        "backbone.weights",
    ]


# Files that thaw did not write


@pytest.mark.slow
def test_images_next_to_the_prepared_data_stay(project: Path) -> None:
    mine = tiny.images(project / "data/prepared/mine")
    before = contents(mine)
    tiny.images(project / "data/raw")
    edit(data__source="folder")
    for _ in range(2):
        pipeline.check()
        prepare.main()
    assert contents(mine) == before
    manifest = (project / "data/prepared/manifest.csv").read_text()
    assert len(manifest.splitlines()) == 37  # none of them became part of the data


@pytest.mark.slow
def test_make_clean_removes_the_outputs_and_none_of_the_users_files(project: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, project)
    (project / ".venv").mkdir()
    (project / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (project / ".venv/.installed").touch()
    mine = tiny.images(project / "models/mine")
    outputs = [project / name for name in ("models/unfreeze", "data/prepared", ".thaw")]
    for folder in outputs:
        folder.mkdir(parents=True)
    for name in ("models/unfreeze/model.json", "data/prepared/pack.json"):
        (project / name).touch()
    (project / "models/unfreeze/notes.txt").write_text("of the user")
    edit(data__path="data/prepared/photos")
    photos = tiny.images(project / "data/prepared/photos")
    assert subprocess.run(["make", "clean"], timeout=120).returncode == 2
    assert all(folder.is_dir() for folder in outputs)
    shutil.move(photos, project / "photos")
    edit(data__path="photos")
    assert subprocess.run(["make", "clean"], timeout=120).returncode == 0
    assert [folder.exists() for folder in outputs] == [True, False, False]
    assert (project / "models/unfreeze/notes.txt").read_text() == "of the user"
    assert len(list(mine.rglob("*.png"))) == len(list(project.glob("photos/*/*.png"))) == 36


# Valid folders


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["data/raw", "data/prepared2", "photos", "../photos", "models/photos", "reports/photos"]
)
def test_folders_without_an_overlap_are_valid(project: Path, path: str) -> None:
    images = tiny.images(project / path)
    before = contents(images)
    (project / "models").mkdir(exist_ok=True)
    (project / "models/mine.pth").write_bytes(b"weights")
    edit(data__source="folder", data__path=path, backbone__weights="models/mine.pth")
    pipeline.check()
    for _ in range(2):  # the second run replaces the files of the first
        prepare.main()
    assert contents(images) == before


@pytest.mark.slow
def test_images_on_another_disk_are_valid(project: Path) -> None:
    (project / "data/raw").rmdir()
    (project / "data/raw").symlink_to(tiny.images(project.parent / "disk/raw"))
    edit(data__source="folder")
    pipeline.check()
    prepare.main()


@pytest.mark.slow
def test_a_second_prepare_replaces_the_digits_of_the_first(project: Path) -> None:
    for _ in range(2):
        prepare.main()
    pipeline.check()
    assert len(list(project.glob(".thaw/digits/*/*.png"))) == 1797
    assert len(list(project.glob("data/prepared/*"))) == 4


# The list of outputs, and DVC


def test_every_output_of_dvc_yaml_and_of_the_stages_is_known() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    assert set(stages) == set(STAGES)
    entries = [
        entry
        for stage in stages.values()
        for kind in ("outs", "metrics", "plots")
        for entry in stage.get(kind, [])
    ]
    written = [Path(next(iter(entry)) if isinstance(entry, dict) else entry) for entry in entries]
    assert len(written) >= 15
    known = [place.path for place in overlaps.OUTPUTS]
    for path in [*written, project_paths.PREPARED, project_paths.SCRATCH]:
        assert any(path.is_relative_to(place) for place in known), path


@pytest.mark.parametrize("option", ["models/unfreeze/x", "dvc.lock", ".git/x", "data/raw/red/x"])
def test_an_output_of_a_verb_inside_of_the_projects_files_is_refused(
    project: Path, option: str
) -> None:
    with pytest.raises(ThawError, match=f"--out: {option} (is|is inside) .*give another --out"):
        overlaps.refuse_output(Path(option), "--out")


@pytest.fixture
def other(project: Path) -> Path:
    """Return another project, in which data.path is photos. The working directory is not in it."""
    folder = project.parent / "other"
    (folder / "models").mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder)
    params = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(params.replace("path: data/raw", "path: photos"))
    return folder


@pytest.mark.parametrize("here", [True, False], ids=["in a project", "outside of all projects"])
@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("models/unfreeze/x.csv", "the stage unfreeze writes or removes"),
        ("data/prepared/x.csv", "the stage prepare writes or removes"),
        ("reports/../.thaw/x.csv", "thaw writes or removes"),
        ("dvc.lock", "DVC writes or removes"),
        ("photos/x.csv", "is read as data.path"),
    ],
)
def test_an_output_of_a_verb_inside_of_another_projects_files_is_refused(
    other: Path, monkeypatch: pytest.MonkeyPatch, name: str, use: str, *, here: bool
) -> None:
    if not here:
        monkeypatch.chdir("/")
    with pytest.raises(ThawError, match=f"which {use}: give another --out"):
        overlaps.refuse_output(other / name, "--out")


def test_an_output_of_a_verb_that_reaches_another_project_through_a_link_is_refused(
    other: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").symlink_to(other / "models")
    shutil.move(other / "models", tmp_path / "disk")
    (other / "models").symlink_to(tmp_path / "disk")
    (other / "models/unfreeze").mkdir()
    for out in (tmp_path / "elsewhere/unfreeze/x", other / "models/unfreeze/x"):
        with pytest.raises(ThawError, match="the stage unfreeze writes or removes"):
            overlaps.refuse_output(out, "--out")


def test_other_folders_of_a_project_and_other_folders_take_an_output(
    other: Path, tmp_path: Path
) -> None:
    for out in (other / "x.csv", other / "models/mine/x.csv", tmp_path / "x.csv", Path("x.csv")):
        overlaps.refuse_output(out, "--out")


@pytest.mark.parametrize("target", ["gone/away.csv", "x.csv"])
def test_an_output_of_a_verb_that_is_a_dangling_link_is_refused(project: Path, target: str) -> None:
    (project / "x.csv").symlink_to(target)
    with pytest.raises(ThawError, match=r"--out: x\.csv is a link to .*, which does not exist"):
        overlaps.refuse_output(Path("x.csv"), "--out")
    assert str(Path("x.csv").readlink()) == target


@pytest.mark.usefixtures("tuned")
@pytest.mark.parametrize("verb", ["probe", "find-lr"])
def test_a_picture_does_not_replace_other_files(project: Path, verb: str) -> None:
    images = tiny.images(project / "data/raw")
    holiday = shutil.copy(images / "red/000.png", project / "holiday.png")
    before = contents(project)
    for picture in (images / "red/000.png", images / "red/new.png", holiday, "params.yaml"):
        message = error(verb, "--picture", str(picture))
        assert message.startswith("--picture: ")
        assert "give another --picture" in message
    assert contents(project) == before


def test_a_picture_replaces_an_earlier_one(project: Path) -> None:
    picture = project / "reports/probe.png"
    block = [Probe((number,), 8, 0.5, 0.1) for number in (1, 2)]
    draw(block, block[:1], picture)
    overlaps.refuse_output(picture, "--picture")
    overlaps.refuse_to_replace(picture, "--picture", (b"atplotlib",), "a picture")
