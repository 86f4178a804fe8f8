"""Tests of what stages import: each of these libraries takes longer than such a stage computes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.advice import project as small
from thaw.config.editing import write_values

SLOW = {
    "alembic", "matplotlib", "mlflow", "optuna", "pandas", "scipy", "sklearn", "sqlalchemy",
    "sympy", "torch._dynamo", "torch._inductor", "transformers",
}  # fmt: skip
NEEDED_TO_FIT = {"pandas", "scipy", "sklearn"}  # scikit-learn imports pandas where it is installed
NEVER_NEEDED = {"optuna", "sympy", "torch._dynamo", "torch._inductor", "transformers"}
# The model of the head warm-up is there from the start, so that unfreeze can come first.
ORDER = ("unfreeze", "fold_bn", "warmup_head", "evaluate")
PROGRAM = f"""
import json, sys
from importlib import import_module
for stage in {ORDER}:
    import_module(f"thaw.stages.{{stage}}").main()
    print("imported", json.dumps(sorted({SLOW} & sys.modules.keys())))
from thaw.config.editing import write_values
write_values({{"unfreeze.epochs": 1}})
import_module("thaw.stages.unfreeze").main()
print("imported", json.dumps(sorted({SLOW} & sys.modules.keys())))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The slow libraries that one process has imported by the end of each stage.

    The stages run one after another and train nothing by epochs, and then unfreeze does.
    """
    folder = tmp_path_factory.mktemp("imports")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small.make(folder)
        write_values({"warmup_head.fit": "logistic", "unfreeze.epochs": 0, "fold_bn.epochs": 0})
        write_values({"regularize.calibration": "off"})  # which needs scikit-learn where it is new
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("imported ")]
    found = [set(json.loads(line.removeprefix("imported "))) for line in lines]
    return dict(zip((*ORDER, "an epoch"), found, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["unfreeze", "fold_bn"])
def test_a_stage_that_trains_nothing_imports_no_tracking_no_plots_and_no_compiler(
    stage: str, imported: dict[str, set[str]]
) -> None:
    assert imported[stage] == set()


def test_a_fitted_head_needs_scikit_learn_alone(imported: dict[str, set[str]]) -> None:
    assert imported["warmup_head"] == NEEDED_TO_FIT


@pytest.mark.slow
def test_evaluate_imports_neither_the_compiler_nor_a_search(
    imported: dict[str, set[str]],
) -> None:
    assert "mlflow" in imported["evaluate"]
    assert not imported["evaluate"] & NEVER_NEEDED


@pytest.mark.slow
def test_a_stage_that_trains_imports_no_compiler(imported: dict[str, set[str]]) -> None:
    assert not imported["an epoch"] & NEVER_NEEDED


@pytest.mark.slow
def test_the_command_line_imports_no_library_that_computes() -> None:
    program = (
        "import sys, thaw.cli.app; "
        "print({'torch', 'mlflow', 'pandas', 'timm', 'accelerate', 'dvc'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "set()", done.stderr
