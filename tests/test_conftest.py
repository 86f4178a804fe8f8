from __future__ import annotations

import ast
import os
from types import SimpleNamespace

import pytest

from tests.conftest import pytest_configure
from tests.file_costs import ROOT as TESTS
from tests.file_costs import SECONDS
from tests.tmpfs import NO_RIGHT

pytest_plugins = ["pytester"]

ROOT = TESTS.parent

# Files without a quick test: nothing of their subject can be shown without a pipeline or a server.
WHOLLY_SLOW = {
    "registry/test_killed_registration.py",
    "search/test_search.py",
    "stages/test_output_links.py",
    "training/test_compiled_network.py",
    "training/test_sharding.py",
}

MARKED = """
import pytest

@pytest.mark.soak
def test_exhaustive(): ...

@pytest.mark.parametrize("case", ["sample", pytest.param("other", marks=pytest.mark.soak)])
def test_product(case): ...

@pytest.mark.parametrize("case", [pytest.param(1, marks=pytest.mark.soak), 2], ids=["one", "two"])
def test_product_with_names(case): ...

@pytest.mark.pipelines
def test_pipeline(): ...

@pytest.mark.pipelines
@pytest.mark.soak
def test_exhaustive_pipeline(): ...

@pytest.mark.gpu
def test_on_a_gpu(): ...

def test_other(): ...
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest("from tests.conftest import *\n")
    pytester.makeini(
        f"[pytest]\nmarkers =\n  soak\n  pipelines\n  gpu\n  slow\n  services\npythonpath = {ROOT}"
    )
    pytester.makepyfile(MARKED)
    return pytester


def test_exhaustive_tests_are_deselected_and_gpu_tests_skipped(suite: pytest.Pytester) -> None:
    suite.runpytest("-m", "not slow").assert_outcomes(passed=3, skipped=1, deselected=3)


def test_cases_of_exhaustive_products_are_made_for_soak_alone(suite: pytest.Pytester) -> None:
    for expression, cases in (("not slow", ["sample", "two"]), ("soak", ["other", "one"])):
        output = suite.runpytest("-m", expression, "--collect-only", "-q").stdout
        found = [line for line in output.lines if "test_product" in line]
        assert [line.split("[")[1].rstrip("]") for line in found] == cases


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


@pytest.mark.parametrize(
    ("value", "reason", "outcome"),
    [
        ("1", "install postgresql", "failed"),
        ("", "install postgresql", "skipped"),
        ("1", NO_RIGHT, "skipped"),
    ],
)
def test_a_server_that_cannot_be_installed_fails_the_target_of_make_alone(
    value: str, reason: str, outcome: str, suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_SKIPS", value)
    suite.makepyfile(f"""
        import pytest

        @pytest.fixture
        def servers():
            pytest.skip({reason!r})

        @pytest.mark.services
        def test_on_servers(servers): ...
    """)
    result = suite.runpytest("-m", "services", "-rs")
    reported = {"failed": "errors"}.get(outcome, outcome)  # a fixture that fails is an error
    result.assert_outcomes(**{reported: 1})
    result.stdout.fnmatch_lines(f"*{reason}*")


def test_exhaustive_tests_run_on_request(suite: pytest.Pytester) -> None:
    suite.runpytest("-m", "soak").assert_outcomes(passed=4, deselected=5)


def test_pipelines_run_on_request_without_the_exhaustive_ones(suite: pytest.Pytester) -> None:
    suite.runpytest("-m", "pipelines").assert_outcomes(passed=1, deselected=6)


@pytest.mark.slow
def test_without_slow_tests_each_module_has_a_test() -> None:
    found = set()
    for path in TESTS.glob("*/**/test_*.py"):
        content = ast.parse(path.read_text(encoding="utf-8"))
        if {"services", "browser"}.isdisjoint(path.parts) and all(
            _is_deselected(test) for test in _tests(content)
        ):
            found.add(path.relative_to(TESTS).as_posix())
    assert found == WHOLLY_SLOW


def _tests(content: ast.Module) -> list[list[str]]:
    """Return the markers of each test of a file; those of single parameters are not among them."""
    of_file = [
        ast.unparse(node.value)
        for node in content.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    return [
        [*of_file, *map(ast.unparse, node.decorator_list)]
        for node in ast.walk(content)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def _is_deselected(markers: list[str]) -> bool:
    names = {f"pytest.mark.{name}" for name in ("slow", "pipelines", "soak", "commands", "browser")}
    return not names.isdisjoint(markers)


def test_every_file_with_a_known_cost_exists() -> None:
    assert [name for name in SECONDS if not (TESTS / name).is_file()] == []


def test_a_file_that_takes_long_is_collected_before_others(request: pytest.FixtureRequest) -> None:
    files = [item.path for item in request.session.items]
    known = [path for path in files if path.relative_to(TESTS).as_posix() in SECONDS]
    assert files[: len(known)] == known
