from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.code_deps import ROOT, closure, module_file, needed, source
from thaw.system import launching

PIPELINE: dict[str, Any] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
STAGES: dict[str, dict[str, Any]] = PIPELINE["stages"]

# Of launch, workers, checkpoint_minutes and cache_gb cannot change a bit of the result.
LAUNCH = {"processes", "threads", "mixed_precision"}


def texts(path: Path) -> set[str]:
    """The string constants of a module that stand alone as an expression's part."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {
        node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) is str
    }


def sections(stage: str) -> tuple[str, ...]:
    found: tuple[str, ...] = import_module(f"thaw.stages.{stage}").SECTIONS
    return found


def outputs(stage: str) -> dict[str, dict[str, Any]]:
    """Every output of a stage with its flags: outs, metrics and plots."""
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
    """Whether ``path`` or a folder that it lies in is listed."""
    return any(Path(path).is_relative_to(listed) for listed in by)


def test_the_pipeline_has_the_stages_that_can_be_started() -> None:
    assert tuple(STAGES) == launching.STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_the_dependencies_on_code_are_the_import_closure(stage: str) -> None:
    listed = [path for path in deps(stage) if path.startswith("src/")]
    assert listed == needed(stage), "python -m tests.code_deps writes them"


def test_the_closure_follows_what_a_stage_imports_late() -> None:
    # evaluate imports the registry inside a function; without this it could be lost in silence
    names = {path.stem for path in closure(source("evaluate"))}
    assert {"register", "pyfunc", "tracking"} <= names
    assert "register" not in {path.stem for path in closure(source("unfreeze"))}


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_listed_twice_and_every_module_exists(stage: str) -> None:
    listed = deps(stage)
    assert len(listed) == len(set(listed))
    assert all((ROOT / path).is_file() for path in listed if path.startswith("src/"))


@pytest.mark.parametrize("stage", STAGES)
def test_the_parameters_in_dvc_yaml_are_the_sections_that_the_stage_reads(stage: str) -> None:
    needed = set()
    for name in sections(stage):
        if name == "launch":
            needed |= {f"launch.{key}" for key in LAUNCH}
        else:
            needed.add(name)
    params = STAGES[stage]["params"]
    assert set(params) == needed
    assert len(params) == len(needed)


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_leaves_no_shell_behind(stage: str) -> None:
    assert STAGES[stage]["cmd"] == f"THAW_STARTER=$PPID exec thaw stage {stage}"


@pytest.mark.parametrize("stage", STAGES)
def test_every_output_is_removed_before_a_run_and_cached_after_it(stage: str) -> None:
    for path, flags in outputs(stage).items():
        # The stage itself empties this one, of what thaw wrote: tests/data/test_clear.py.
        assert flags.get("persist", False) is (path == "data/prepared"), path
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
def test_a_stage_depends_only_on_sources_and_on_outputs_of_earlier_stages(stage: str) -> None:
    earlier = list(STAGES)[: list(STAGES).index(stage)]
    made = [path for other in earlier for path in outputs(other)]
    for path in deps(stage):
        assert path.startswith(("src/", "${data.")) or covered(path, made), path


@pytest.mark.parametrize("stage", STAGES)
def test_who_reads_the_prepared_data_depends_on_it(stage: str) -> None:
    reads = module_file("thaw.data.prepared") in closure(source(stage))
    assert covered("data/prepared", deps(stage)) is reads


@pytest.mark.parametrize("stage", STAGES)
def test_who_names_another_stage_depends_on_its_model(stage: str) -> None:
    # Stages meet only through models/NAME and reports/NAME: who does not name one, reads neither.
    others = texts(source(stage)) & set(STAGES) - {stage}
    for other in others:
        assert any(path.startswith((f"models/{other}", f"reports/{other}")) for path in deps(stage))


def test_the_chain_of_models_is_that_of_the_method() -> None:
    assert "models/warmup_head" in deps("unfreeze")
    assert "models/unfreeze" in deps("fold_bn")
    assert covered("models/fold_bn/merged", deps("evaluate"))


def test_who_reads_the_histories_depends_on_them() -> None:
    for stage in ("warmup_head", "unfreeze", "fold_bn"):
        assert covered(f"reports/{stage}/history.csv", deps("evaluate"))
        assert f"reports/{stage}/history.csv" in outputs(stage)


def test_what_dvc_plots_is_an_output() -> None:
    made = [path for stage in STAGES for path in outputs(stage)]
    for plot in PIPELINE["plots"]:
        (settings,) = plot.values()
        assert all(covered(path, made) for path in settings["y"])
