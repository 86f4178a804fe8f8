from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from tests.conftest import pytest_configure
from tests.file_costs import ROOT as TESTS
from tests.file_costs import SECONDS

pytest_plugins = ["pytester"]

ROOT = TESTS.parent

MARKED = """
import pytest

@pytest.mark.soak
def test_exhaustive(): ...

@pytest.mark.gpu
def test_on_a_gpu(): ...

def test_other(): ...
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(
        "from tests.conftest import pytest_collection_modifyitems, pytest_configure\n"
    )
    pytester.makeini(f"[pytest]\nmarkers =\n  soak\n  gpu\n  slow\npythonpath = {ROOT}")
    pytester.makepyfile(MARKED)
    return pytester


def test_exhaustive_tests_are_deselected_and_gpu_tests_skipped(suite: pytest.Pytester) -> None:
    suite.runpytest("-m", "not slow").assert_outcomes(passed=1, skipped=1, deselected=1)


@pytest.mark.parametrize(
    ("expression", "hidden"),
    [("", True), ("not gpu", True), ("not slow and not gpu", True), ("gpu", False)],
)
def test_gpus_are_visible_to_tests_that_ask_for_them_alone(
    expression: str, hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    option = SimpleNamespace(option=SimpleNamespace(markexpr=expression))
    pytest_configure(option)  # type: ignore[arg-type]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ("" if hidden else "0")


def test_exhaustive_tests_run_on_request(suite: pytest.Pytester) -> None:
    suite.runpytest("-m", "soak").assert_outcomes(passed=1, deselected=2)


def test_every_file_with_a_known_cost_exists() -> None:
    assert [name for name in SECONDS if not (TESTS / name).is_file()] == []


def test_a_file_that_takes_long_is_collected_before_others(request: pytest.FixtureRequest) -> None:
    files = [item.path for item in request.session.items]
    known = [path for path in files if path.relative_to(TESTS).as_posix() in SECONDS]
    assert files[: len(known)] == known
