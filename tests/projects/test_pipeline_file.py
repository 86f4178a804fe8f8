from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from thaw.errors import ThawError
from thaw.projects.creation import template
from thaw.projects.pipeline_file import converted_pipeline
from thaw.stages.evaluate import MODEL

if TYPE_CHECKING:
    from pathlib import Path


OWN_PLOT = "mine: {x: a, y: {mine.csv: b}}"
SHIPPED_PLOT = "reports/unfreeze/history.csv: {x: a}"


def test_a_project_without_a_pipeline_gets_that_of_all_projects(tmp_path: Path) -> None:
    assert converted_pipeline(tmp_path / "dvc.yaml") == template("dvc.yaml.template")


def test_the_stages_of_a_clone_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "dvc.yaml"
    stages = "stages:\n  prepare:\n    cmd: thaw\n    deps: [src/thaw/config.py]\n"
    path.write_text(f"{stages}plots:\n  - unfreeze loss: {{x: epoch}}\n")
    assert converted_pipeline(path) == template("dvc.yaml.template")


def test_own_stages_and_entries_stay(tmp_path: Path) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text("stages:\n  mine:\n    cmd: echo a\nvars:\n  - x: 1\n")
    text = converted_pipeline(path)
    assert "cmd: echo a" in text
    assert "x: 1" in text
    assert "thaw stage evaluate" in text
    path.write_text(text)
    assert converted_pipeline(path) == text


def test_additions_of_a_user_to_a_stage_of_thaw_stay(tmp_path: Path) -> None:
    path = tmp_path / "dvc.yaml"
    shipped = YAML().load(template("dvc.yaml.template"))["stages"]
    path.write_text(
        "stages:\n"
        "  prepare:\n"
        "    cmd: thaw\n"
        "    frozen: true\n"
        "    deps: [src/thaw/data.py, labels.xlsx, data/prepared/old.npy]\n"
        "    params: [seed, {thaw.lock: [stages.old]}, {own.yaml: [a, b]}]\n"
        "  unfreeze: {cmd: thaw, desc: second}\n"
    )
    text = converted_pipeline(path)
    found = YAML().load(text)["stages"]
    assert found["unfreeze"] == {**shipped["unfreeze"], "desc": "second"}
    assert found["prepare"] == {
        **shipped["prepare"],
        "frozen": True,
        "deps": [*shipped["prepare"]["deps"], "labels.xlsx"],
        "params": [*shipped["prepare"]["params"], {"own.yaml": ["a", "b"]}],
    }
    path.write_text(text)
    assert converted_pipeline(path) == text  # the additions are there once


def test_own_artifacts_stay_beside_the_model(tmp_path: Path) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text("stages: {}\nartifacts:\n  labels: {path: labels.csv}\n")
    converted = YAML().load(converted_pipeline(path))
    assert set(converted["artifacts"]) == {"labels", "model"}


@pytest.mark.parametrize(
    "plots",
    [
        f"plots: [reports/evaluate/a.csv, {OWN_PLOT}, {SHIPPED_PLOT}]",
        f"plots: {{reports/evaluate/a.csv: , {OWN_PLOT}, {SHIPPED_PLOT}}}",
    ],
)
def test_own_plots_stay_beside_those_of_the_stages(plots: str, tmp_path: Path) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text(f"stages: {{}}\n{plots}\n")
    shipped = YAML().load(template("dvc.yaml.template"))["plots"]
    converted = converted_pipeline(path)
    found = YAML().load(converted)["plots"]
    assert found[: len(shipped)] == shipped
    names = [each if isinstance(each, str) else next(iter(each)) for each in found[len(shipped) :]]
    assert names == ["reports/evaluate/a.csv", "mine"]
    assert found[-1] == {"mine": {"x": "a", "y": {"mine.csv": "b"}}}
    path.write_text(converted)
    assert converted_pipeline(path) == converted


@pytest.mark.parametrize("artifacts", ["", "artifacts:\n", "artifacts: [a]\n"])
def test_a_pipeline_without_artifacts_gets_the_model(tmp_path: Path, artifacts: str) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text(f"stages: {{}}\n{artifacts}")
    assert converted_pipeline(path) == template("dvc.yaml.template")


def test_the_pipeline_of_the_installed_thaw_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text(template("dvc.yaml.template"))
    assert converted_pipeline(path) == template("dvc.yaml.template")


def test_the_artifact_of_the_pipeline_is_the_folder_of_the_registered_model() -> None:
    content = YAML().load(template("dvc.yaml.template"))
    folder = content["artifacts"]["model"]["path"]
    assert folder == str(MODEL)
    assert f"{folder}/model.safetensors" in content["stages"]["fold_bn"]["outs"]


@pytest.mark.parametrize("text", ["", "- a", "stages: 3", "stages: {", "[" * 999])
def test_a_damaged_pipeline_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text(text)
    with pytest.raises(ThawError, match="is not a pipeline of DVC"):
        converted_pipeline(path)
