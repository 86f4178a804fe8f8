from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THAW = Path(sys.executable).parent / "thaw"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and the place for the data, which is entered."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "data" / "raw").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def thaw(*arguments: str, code: int = 0) -> tuple[str, str]:
    """Run the installed command; what it wrote to stdout and stderr."""
    done = subprocess.run([THAW, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def edit(old: str, new: str) -> None:
    path = Path("params.yaml")
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))


def test_check_says_that_a_right_params_yaml_is_valid(project: Path) -> None:
    assert thaw("check") == ("params.yaml is valid\n", "")


@pytest.mark.parametrize("key", ["path", "root"])
def test_check_names_the_data_that_is_not_there(key: str, project: Path) -> None:
    edit(f"  {key}: data/raw", f"  {key}: data/photos")
    _, err = thaw("check", code=2)
    assert err == f"error: params.yaml: data.{key}: there is no data/photos\n"


@pytest.mark.parametrize("verb", [("check",), ("stage", "prepare"), ("stage", "unfreeze")])
def test_a_wrong_params_yaml_is_a_line_and_exit_code_2(
    verb: tuple[str, ...], project: Path
) -> None:
    edit("  depth: 9 ", "  dept: 9 ")
    out, err = thaw(*verb, code=2)
    first, second = err.splitlines()
    assert first == "error: params.yaml: unfreeze.depth is missing"
    assert second == "params.yaml: unfreeze.dept is unknown; did you mean unfreeze.depth?"
    assert not out


def test_a_mistyped_value_is_one_line_that_names_the_key_and_the_value(project: Path) -> None:
    edit("seed: 0 ", "seed: zero ")
    _, err = thaw("stage", "prepare", code=2)
    assert err == "error: params.yaml: seed: input should be a valid integer, but it is 'zero'\n"


def test_outside_a_project_thaw_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, err = thaw("stage", "prepare", code=2)
    assert err == f"error: params.yaml is not in {tmp_path}: run thaw in the project's folder\n"


def test_an_unknown_stage_is_refused(project: Path) -> None:
    _, err = thaw("stage", "train", code=2)
    assert err.startswith("error: there is no stage 'train': choose from prepare,")


def test_an_unknown_verb_is_refused(project: Path) -> None:
    _, err = thaw("trane", code=2)
    assert "No such command 'trane'" in err


def test_a_report_before_the_first_run_says_what_to_type(project: Path) -> None:
    _, err = thaw("report", code=2)
    assert err == "error: there is no reports/prepare/report.json yet: run `dvc repro` first\n"


def test_backbones_are_listed_a_line_each(project: Path) -> None:
    lines = thaw("backbones")[0].splitlines()
    assert {"timm/tf_efficientnet_lite0", "torchvision/resnet18"} <= set(lines)
    assert all(line.count("/") == 1 for line in lines if line != "lenet5")


def test_help_lists_every_verb() -> None:
    out, _ = thaw("--help")
    for verb in ("stage", "check", "probe", "advise", "find-lr", "backbones", "report", "ui"):
        assert f" {verb} " in out
