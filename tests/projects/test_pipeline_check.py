"""A damaged dvc.yaml or thaw.lock is refused with its place and a remedy, by the real verbs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from tests import tiny
from tests.cli.verbs import error, run
from tests.project import ROOT
from thaw.config.editing import write_values
from thaw.projects.creation import template
from thaw.projects.doctor import examine
from thaw.projects.finding import State
from thaw.projects.pipeline_check import refuse_damaged_pipeline
from thaw.system import tool_lock
from thaw.system.project_paths import PIPELINE, TOOL_LOCK
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RESTORE = "restore it (`git checkout dvc.yaml`), or delete it and run `thaw upgrade`"
UPGRADE = "run `thaw upgrade`, which writes the stages of thaw and keeps your own"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with images, as the working directory."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    images = str(tiny.images(tmp_path / "photos"))
    write_values({"data.source": "folder", "data.path": images, "data.root": images})
    PIPELINE.write_text(template("dvc.yaml.template"))
    tool_lock.write(tool_lock.installed())
    return tmp_path


def changed(change: Callable[[dict[str, Any]], object]) -> None:
    """Write dvc.yaml with a change of its content."""
    yaml = YAML()
    content = yaml.load(template("dvc.yaml.template"))
    change(content)
    with PIPELINE.open("w") as stream:
        yaml.dump(content, stream)


@pytest.mark.slow
def test_a_project_of_the_installed_thaw_is_valid() -> None:
    assert "params.yaml is valid" in run("check")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "the file: expected a dictionary"),
        (b"[1, 2]", "the file: expected a dictionary"),
        (b"stages: 3\n", "dvc.yaml: 'stages': expected a dictionary"),
        (b"stages:\n", "dvc.yaml: 'stages': expected a dictionary"),
        (b"stages: {prepare: 1}\n", "dvc.yaml: 'stages.prepare': expected a dictionary"),
        (b"stages: {prepare: {cmd: a, deps: b}}\n", "dvc.yaml: 'stages.prepare.deps': expected a"),
        (b"stages: {prepare: {cmd: a, dep: [b]}}\n", "dvc.yaml: 'stages.prepare.dep': extra keys"),
        (b"stages: {prepare: {}}\n", "dvc.yaml: 'stages.prepare.cmd': required key"),
        (b"stages: {a: {cmd: a}}\nplots: 1\n", "dvc.yaml: 'plots': expected a list"),
        (b"stages: {\n", "line 2, column 1"),
        (b"stages: {a: {cmd: a}}\nstages: {}\n", 'found duplicate key "stages"'),
        (b"a: b: c\n", "line 1, column 5"),
        (b"\xff\xfe", "can't decode byte 0xff"),
        (b"a: \x00\n", "special characters are not allowed"),
        (b"[" * 2000, "cannot be read"),
        (b"stages:\n<<<<<<< ours\n  a: 1\n=======\n", "(line 2 is the marker of a merge conflict)"),
    ],
)
def test_a_file_that_dvc_refuses_is_named_with_the_place(content: bytes, place: str) -> None:
    PIPELINE.write_bytes(content)
    message = error("check")
    assert message.startswith("dvc.yaml")
    assert place in message
    assert message.endswith(RESTORE)
    assert len(message.splitlines()) == 1
    assert len(message) < 500


def test_the_doctor_names_a_damaged_file_as_well() -> None:
    PIPELINE.write_text("stages: 3")
    [found] = [finding for finding in examine() if finding.subject == "dvc.yaml"]
    assert (found.state, found.text) == (State.ERROR, error("check"))


def test_a_file_without_stages_is_refused() -> None:
    PIPELINE.write_text("vars: [{x: 1}]\n")
    assert error("check") == f"dvc.yaml has no stages: {UPGRADE}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_missing_stage_is_named(stage: str) -> None:
    changed(lambda content: content["stages"].pop(stage))
    assert error("check") == f"dvc.yaml: the stage {stage} is missing: {UPGRADE}"


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("command", ["true", "thaw stage nothing", ["echo a", "echo b"]])
def test_a_stage_with_another_command_is_named(stage: str, command: object) -> None:
    changed(lambda content: content["stages"][stage].update(cmd=command))
    message = error("check")
    assert message.startswith(
        f"dvc.yaml: the command of the stage {stage} is {command!r}, and not "
    )
    assert message.endswith(f"'THAW_STARTER=$PPID exec thaw stage {stage}': {UPGRADE}")


@pytest.mark.parametrize(
    ("stage", "key", "kind", "entry"),
    [
        ("prepare", "params", "params", "data"),
        ("unfreeze", "params", "params", {"thaw.lock": ["stages.unfreeze"]}),
        ("warmup_head", "deps", "deps", "data/prepared/images.bin"),
        ("fold_bn", "outs", "outputs", "models/fold_bn/merged/model.json"),
        ("evaluate", "metrics", "outputs", {"reports/evaluate/metrics.json": {"cache": False}}),
    ],
)
def test_a_lost_entry_of_a_stage_is_named(stage: str, key: str, kind: str, entry: Any) -> None:
    changed(lambda content: content["stages"][stage][key].remove(entry))
    name = "thaw.lock:stages.unfreeze" if "thaw.lock" in entry else next(iter(entry))
    name = entry if isinstance(entry, str) else name
    assert error("check") == f"dvc.yaml: the {kind} of the stage {stage} lack {name}: {UPGRADE}"


def test_stages_and_entries_of_the_user_are_valid() -> None:
    def add(content: dict[str, Any]) -> None:
        stages = content["stages"]
        stages["mine"] = {"cmd": "make mine", "outs": ["mine.txt"]}
        stages["unfreeze"] |= {"frozen": True, "desc": "a"}
        stages["unfreeze"]["deps"].append("notes.txt")
        stages["unfreeze"]["outs"][0] = {stages["unfreeze"]["outs"][0]: {"persist": True}}
        stages["fold_bn"]["cmd"] = ["date", "CUDA_VISIBLE_DEVICES=0 exec thaw stage fold_bn"]
        stages["prepare"]["params"] = [
            {"params.yaml": ["seed", "data", "prepare"]},
            {"thaw.lock": ["stages.prepare"]},
        ]
        content["vars"] = [{"x": 1}]

    changed(add)
    refuse_damaged_pipeline()


def test_a_pipeline_without_its_file_is_refused() -> None:
    PIPELINE.unlink()
    assert error("check") == (
        "dvc.yaml is missing: restore it (`git checkout dvc.yaml`), or run `thaw upgrade`"
    )


@pytest.mark.slow
def test_a_folder_that_has_parameters_only_is_valid() -> None:
    PIPELINE.unlink()
    TOOL_LOCK.unlink()
    assert "params.yaml is valid" in run("check")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (None, "thaw.lock is not in "),
        ("", "thaw.lock is damaged"),
        ("stages: {\n", "line 2, column 1"),
        ("versions: {thaw: a}\n", "stages"),
        ("versions: {thaw: 1}\nstages: {}\n", "thaw is no text"),
        ("versions: {thaw: a}\nstages: {prepare: [a]}\n", "prepare is no text"),
        ("versions: {thaw: a}\nstages: {prepare: a}\nkept: [a]\n", "thaw.lock is damaged"),
        ("versions: {thaw: a}\nstages: {prepare: a}\n", "the stage prepare is locked to the code"),
        ("versions:\n=======\n", "(line 2 is the marker of a merge conflict)"),
    ],
)
def test_a_damaged_lock_is_named_as_the_stages_name_it(content: str | None, place: str) -> None:
    if content is None:
        TOOL_LOCK.unlink()
    else:
        TOOL_LOCK.write_text(content)
    message = error("check")
    assert place in message
    assert message.endswith("run `thaw upgrade`")
    assert len(message.splitlines()) == 1
    assert error("stage", "prepare") == message


def test_a_lock_without_a_stage_is_refused() -> None:
    lock = tool_lock.installed()
    del lock.stages["evaluate"]
    tool_lock.write(lock)
    assert "the stage evaluate is locked to the code" in error("check")
