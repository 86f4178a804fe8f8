from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_result_summary import write
from tests.cli.verbs import edit, error, run
from tests.registry.test_stored_results import write_reports
from thaw.system import launching, tool_lock

if TYPE_CHECKING:
    from pathlib import Path


def test_check_accepts_a_valid_params_yaml(project: Path) -> None:
    assert run("check").startswith(
        "params.yaml is valid: timm/tf_efficientnet_lite0 in 9 blocks, 3.4 million weights; "
    )


@pytest.mark.parametrize(("source", "key"), [("folder", "path"), ("csv", "path"), ("csv", "root")])
def test_check_names_a_data_folder_that_does_not_exist(
    source: str, key: str, project: Path
) -> None:
    edit(project / "params.yaml", "  source: digits", f"  source: {source}")
    edit(project / "params.yaml", f"  {key}: data/raw", f"  {key}: data/photos")
    assert error("check") == f"params.yaml: data.{key}: there is no data/photos"


def test_check_finds_a_data_folder_that_a_shell_would_find(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(project / "params.yaml", "  source: digits", "  source: folder")
    edit(project / "params.yaml", "  path: data/raw", "  path: ~/photos")
    (project / "photos").mkdir()
    monkeypatch.setenv("HOME", str(project))
    assert error("check") == (
        "params.yaml: data.path: there is no ~/photos: it exists if it is written in full, "
        "without ~ and variables"
    )


def test_check_names_the_target_of_a_link_to_images_that_were_moved(project: Path) -> None:
    edit(project / "params.yaml", "  source: digits", "  source: folder")
    edit(project / "params.yaml", "  path: data/raw", "  path: data/link")
    (project / "data").mkdir(exist_ok=True)
    (project / "data" / "link").symlink_to("/gone/photos")
    assert error("check") == (
        "params.yaml: data.path: data/link is a link to /gone/photos, which does not exist: move "
        "the images back, or `ln -sfn FOLDER data/link`"
    )


def test_check_explains_why_an_unused_folder_must_exist(project: Path) -> None:
    edit(project / "params.yaml", "  source: digits", "  source: folder")
    edit(project / "params.yaml", "  root: data/raw", "  root: data/photos")
    assert error("check") == (
        "params.yaml: data.root: there is no data/photos; the source folder does not read it, but "
        "DVC requires that it exists: set it to data/raw"
    )


@pytest.mark.parametrize("verb", [("check",), ("stage", "prepare"), ("stage", "unfreeze")])
def test_a_misspelled_parameter_is_refused_with_the_nearest_name(
    verb: tuple[str, ...], project: Path
) -> None:
    edit(project / "params.yaml", "  depth: 9 ", "  dept: 9 ")
    message = error(*verb)
    assert "params.yaml: unfreeze.dept is unknown; did you mean unfreeze.depth?" in message


def test_a_mistyped_value_is_refused_with_its_key(project: Path) -> None:
    edit(project / "params.yaml", "seed: 0", "seed: zero")
    message = error("stage", "prepare")
    assert message == "params.yaml: seed: input should be a valid integer, but it is 'zero'"


def test_a_stage_warns_of_other_libraries_than_those_of_the_lock(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tool_lock.installed()
    tool_lock.write(replace(lock, versions={**lock.versions, "timm": "0.1"}))
    monkeypatch.setattr(launching, "replace_process", lambda *_: None)  # it would end this process
    assert "timm 0.1" in run("stage", "evaluate")


def test_an_unknown_stage_is_refused(project: Path) -> None:
    assert error("stage", "train").startswith("there is no stage 'train': choose from prepare,")


def test_a_report_before_the_first_run_names_the_command(project: Path) -> None:
    message = error("report")
    assert message == "there is no reports/prepare/report.json yet: run `dvc repro` first"
    tool_lock.write(tool_lock.installed())
    assert error("report") == message


def test_a_report_that_an_earlier_version_did_not_write_names_the_upgrade(project: Path) -> None:
    lock = tool_lock.installed()
    tool_lock.write(replace(lock, stages=lock.stages | {"evaluate": "0" * 64}))
    write(project / "reports")
    (project / "reports/evaluate/report.json").unlink()
    message = error("report")
    assert message.startswith("thaw.lock: the stage evaluate is locked to the code of thaw")
    assert message.endswith("run `thaw upgrade`")


def test_names_of_backbones_are_listed_one_per_line() -> None:
    lines = run("backbones", "--names").splitlines()
    assert {"timm/tf_efficientnet_lite0", "torchvision/resnet18"} <= set(lines)
    assert all(line.count("/") == 1 for line in lines if line != "lenet5")


def test_backbones_that_match_have_sizes_and_the_place_of_their_weights() -> None:
    lines = run("backbones", "lite0").splitlines()
    assert [line.split() for line in lines] == [
        ["name", "params", "blocks", "image", "weights"],
        ["timm/efficientnet_lite0", "3.4M", "9", "224", "to", "download"],
        ["timm/tf_efficientnet_lite0", "3.4M", "9", "224", "packaged"],
    ]


def test_all_backbones_are_listed_without_sizes_within_80_columns() -> None:
    lines = run("backbones").splitlines()
    assert len(lines) > 1000
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1].endswith("thaw backbones TEXT")


def test_backbones_are_printed_as_json_for_programs() -> None:
    (entry,) = json.loads(run("backbones", "lenet5", "--json"))
    assert entry == {
        "name": "lenet5", "weights": "none", "image_size": 32, "blocks": 4, "parameters": 60856,
    }  # fmt: skip


def test_a_text_that_no_backbone_contains_is_refused() -> None:
    assert "`thaw backbones --names`" in error("backbones", "an eagle")


def test_a_misspelt_backbone_is_refused_with_the_names_that_are_near() -> None:
    assert "did you mean timm/resnet50 or " in error("backbones", "timm/resnt50")


@pytest.mark.slow
def test_check_names_entries_that_dvc_cannot_read(project: Path) -> None:
    (project / "data/raw/cat").mkdir(parents=True, exist_ok=True)
    (project / "data/raw/cat/link.png").symlink_to("nowhere.png")
    said = run("check").splitlines()
    assert said[1:] == [
        ".dvcignore names 1 entry of the data that DVC cannot read:",
        "  - data/raw/cat/link.png: a link to nowhere.png: No such file or directory",
    ]
    assert "/data/raw/cat/link.png" in (project / ".dvcignore").read_text().splitlines()


def test_two_results_are_compared_as_json_without_pictures(project: Path) -> None:
    for name in ("a", "b"):
        write_reports(project / name)
    found = json.loads(run("report", "--compare", "a", "b", "--json"))
    assert found["names"] == ["a", "b"]
    assert next(row["name"] for row in found["metrics"]) == "accuracy"
    assert found["answers"] == []


def test_a_result_is_printed_as_json(project: Path) -> None:
    assert "reports/prepare/report.json yet: run `dvc repro` first" in error("report", "--json")
    write(project / "reports")
    found = json.loads(run("report", "--json"))
    assert found["evaluate"]["test"]["accuracy"] == 0.98765


def test_a_comparison_with_an_unknown_result_says_what_can_be_compared(project: Path) -> None:
    write_reports(project / "a")
    (project / "empty").mkdir()
    message = error("report", "--compare", "a", "empty")
    assert message.startswith("empty has no reports/evaluate/predictions.csv: give a version")
