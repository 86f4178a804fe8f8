"""Folders of outputs that are links, or that dvc.yaml lists, are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests import tiny
from tests.cli.verbs import error
from tests.project import ROOT
from tests.stage_runs import outputs
from thaw.cli import pipeline
from thaw.config import output_folders
from thaw.config.editing import write_values
from thaw.errors import ThawError
from thaw.stages import prepare
from thaw.system import tool_lock
from thaw.system.project_paths import TOOL_LOCK
from thaw.system.stage_names import STAGES

FOLDERS_AND_THOSE_AROUND = (
    *map(str, output_folders.FOLDERS),
    "data",
    "models",
    "reports",
    "models/fold_bn",
)


def _is_sampled(name: str, target: str) -> bool:
    """Return whether the suite tries the link, too; the soak tries all of them."""
    return target == "elsewhere" or name in {"data/prepared", "models"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with 36 images outside of it, as the working directory."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder)
    tool_lock.write(tool_lock.installed(), folder / TOOL_LOCK)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    images = tiny.images(tmp_path / "photos")
    write_values({"data.source": "folder", "data.path": str(images), "data.root": str(images)})
    return folder


@pytest.mark.parametrize(
    ("name", "target"),
    [
        pytest.param(name, target, marks=() if _is_sampled(name, target) else pytest.mark.soak)
        for name in sorted(set(FOLDERS_AND_THOSE_AROUND))
        for target in ("elsewhere", "project/inside")
    ],
)
def test_a_link_in_place_of_a_folder_is_refused_by_check_and_by_every_stage(
    project: Path, name: str, target: str
) -> None:
    real = project.parent / target
    (real / "prepared").mkdir(parents=True)
    (real / "prepared/manifest.csv").write_text("of the user")
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).symlink_to(real)
    for verb in (("check",), *(("stage", stage) for stage in STAGES)):
        assert f"{name} is a link to {real}" in error(*verb)
    with pytest.raises(ThawError, match=f"{name} is a link to"):
        prepare.main()
    assert (real / "prepared/manifest.csv").read_text() == "of the user"


@pytest.mark.parametrize("name", ["models", "reports/prepare"])
def test_a_link_that_leads_nowhere_is_refused(project: Path, name: str) -> None:
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).symlink_to("../gone")
    assert f"{name} is a link to" in error("check")


def test_links_beside_the_outputs_are_valid(project: Path) -> None:
    other = project.parent / "other"
    other.mkdir()
    for name in ("models/mine", "reports/mine", "data/raw", ".thaw", "mlruns"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).symlink_to(other)
    output_folders.refuse_links()


@pytest.mark.slow
def test_a_project_in_a_folder_that_is_a_link_is_valid(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.parent / "link").symlink_to(project)
    monkeypatch.chdir(project.parent / "link")
    pipeline.check()


def test_every_output_of_dvc_yaml_is_in_a_known_folder() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    listed = list(output_folders._listed(ROOT / "dvc.yaml"))
    names = [name for stage in STAGES for name in outputs(stage)]
    assert sorted(listed) == sorted(names)
    assert len(names) > 30
    known = {Path(name).parent for name in listed} | {Path("models/fold_bn")}
    assert known == set(output_folders.FOLDERS)
    assert set(stages) == set(STAGES)


@pytest.mark.parametrize("kind", ["outs", "metrics", "plots"])
@pytest.mark.parametrize("entry", ["models/unfreeze", {"reports/unfreeze/": {"cache": False}}])
def test_a_pipeline_that_lists_folders_is_refused_with_the_command(
    project: Path, kind: str, entry: str | dict[str, dict[str, bool]]
) -> None:
    yaml = YAML()
    content = yaml.load(project / "dvc.yaml")
    content["stages"]["unfreeze"].setdefault(kind, []).append(entry)
    yaml.dump(content, project / "dvc.yaml")
    message = error("check")
    assert "dvc.yaml lists folders as outputs (" in message
    assert (next(iter(entry)) if isinstance(entry, dict) else entry) in message
    assert message.endswith("run `thaw upgrade` first")


def test_folders_of_the_users_own_stages_are_valid(project: Path) -> None:
    text = (project / "dvc.yaml").read_text()
    own = "stages:\n  mine:\n    cmd: make mine\n    outs: [models/mine, out]\n"
    (project / "dvc.yaml").write_text(text.replace("stages:\n", own, 1))
    output_folders.refuse_listed_folders()


@pytest.mark.parametrize("text", ["", "[1, 2]", "stages: 7", "stages: {prepare: [1]}", "a: b: c"])
def test_a_pipeline_that_dvc_refuses_lists_no_folders(project: Path, text: str) -> None:
    (project / "dvc.yaml").write_text(text)
    output_folders.refuse_listed_folders()
