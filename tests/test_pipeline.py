from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from thaw.system import stage_names
from thaw.system.code_digests import PACKAGE, counted_modules

ROOT = Path(__file__).parent.parent
DVC_YAML = (ROOT / "dvc.yaml").read_text()
PIPELINE: dict[str, Any] = YAML(typ="safe").load(DVC_YAML)
STAGES: dict[str, dict[str, Any]] = PIPELINE["stages"]


def texts(path: Path) -> set[str]:
    """Return the string constants of a module."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {
        node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) is str
    }


def sections(stage: str) -> tuple[str, ...]:
    found: tuple[str, ...] = import_module(f"thaw.stages.{stage}").SECTIONS
    return found


def outputs(stage: str) -> dict[str, dict[str, Any]]:
    """Return every output of a stage with its flags: outs, metrics and plots."""
    found: dict[str, dict[str, Any]] = {}
    for kind in ("outs", "metrics", "plots"):
        for entry in STAGES[stage].get(kind, []):
            path, flags = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
            found[path] = {**flags, "kind": kind}
    return found


def deps(stage: str) -> list[str]:
    found: list[str] = STAGES[stage]["deps"]
    return found


def covered(path: str, by: list[str]) -> bool:
    """Return whether ``path`` or a folder that contains it is listed."""
    return any(Path(path).is_relative_to(listed) for listed in by)


def test_dvc_yaml_has_at_most_18_lines_for_each_stage() -> None:
    assert len(DVC_YAML.splitlines()) <= 18 * len(STAGES)


def test_the_stages_of_dvc_yaml_are_those_of_thaw() -> None:
    assert tuple(STAGES) == stage_names.STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_digest_of_its_own_code(stage: str) -> None:
    locked = [entry for entry in STAGES[stage]["params"] if isinstance(entry, dict)]
    assert locked == [{"thaw.lock": [f"stages.{stage}"]}]


@pytest.mark.parametrize("stage", STAGES)
def test_the_parameters_in_dvc_yaml_are_the_sections_that_the_stage_reads(stage: str) -> None:
    params = [entry for entry in STAGES[stage]["params"] if isinstance(entry, str)]
    assert sorted(params) == sorted(sections(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_leaves_no_shell_between_dvc_and_the_stage(stage: str) -> None:
    assert STAGES[stage]["cmd"] == f"THAW_STARTER=$PPID exec thaw stage {stage}"


@pytest.mark.parametrize("stage", STAGES)
def test_every_output_is_a_file_that_is_removed_before_a_run_and_cached_after_it(
    stage: str,
) -> None:
    for path, flags in outputs(stage).items():
        # DVC removes a folder together with the files of a user in it.
        assert Path(path).suffix, path
        assert not flags.get("persist"), path
        if flags["kind"] == "metrics":
            assert flags["cache"] is False, f"{path}: small, and read in git"
        else:
            assert flags.get("cache", True), path


def test_no_output_belongs_to_two_stages() -> None:
    paths = [path for stage in STAGES for path in outputs(stage)]
    assert not [
        (one, other)
        for one in paths
        for other in paths
        if one != other and Path(one).is_relative_to(other)
    ]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_only_on_the_data_and_on_outputs_of_earlier_stages(stage: str) -> None:
    earlier = list(STAGES)[: list(STAGES).index(stage)]
    made = [path for other in earlier for path in outputs(other)]
    assert len(deps(stage)) == len(set(deps(stage)))
    for path in deps(stage):
        assert path.startswith("${data.") or covered(path, made), path


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_reads_the_prepared_data_depends_on_it(stage: str) -> None:
    reads = "data/prepared.py" in counted_modules(PACKAGE, stage)
    prepared = {path for path in outputs("prepare") if path.startswith("data/prepared/")}
    assert len(prepared) == 4
    assert prepared & set(deps(stage)) == (prepared if reads else set())


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_names_another_stage_depends_on_its_files(stage: str) -> None:
    # Stages exchange files only through models/NAME and reports/NAME.
    others = texts(PACKAGE / "stages" / f"{stage}.py") & set(STAGES) - {stage}
    for other in others:
        assert any(path.startswith((f"models/{other}", f"reports/{other}")) for path in deps(stage))


def test_each_training_stage_starts_from_the_model_of_the_one_before() -> None:
    starts = {"unfreeze": "warmup_head", "fold_bn": "unfreeze", "evaluate": "fold_bn/merged"}
    for stage, before in starts.items():
        model = {
            path
            for other in STAGES
            for path in outputs(other)
            if Path(path).parent == Path("models", before)
        }
        assert len(model) >= 2
        assert {path for path in deps(stage) if path.startswith("models/")} == model


def test_evaluate_depends_on_the_histories_of_all_training_stages() -> None:
    for stage in ("warmup_head", "unfreeze", "fold_bn"):
        assert covered(f"reports/{stage}/history.csv", deps("evaluate"))
        assert f"reports/{stage}/history.csv" in outputs(stage)


def test_every_plotted_file_is_an_output() -> None:
    made = [path for stage in STAGES for path in outputs(stage)]
    plotted = [path for plot in PIPELINE["plots"] for path in plot]
    assert len(plotted) == 3
    assert all(covered(path, made) for path in plotted)


def test_the_repository_has_one_file_that_dvc_takes_for_a_pipeline() -> None:
    folders = ("src", "tests", "benchmarks", "tools", "examples", "docs")
    assert not [path for folder in folders for path in (ROOT / folder).rglob("dvc.yaml")]
