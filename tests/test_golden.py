"""Results that a refactoring must keep, recorded before it: ``tests/golden/record.py``.

On the type of machine that recorded them (processor and torch release) they hold to the bit. On
others losses hold within 5 % or 0.02 nats, pixels within 1e-4, and digests are not compared.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.golden import cases, decisions, draws, stages
from tests.golden.machine import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.project import Project

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((GOLDEN / name).read_text())
    return content


TRAININGS = golden("trainings.json")
TWO_PROCESSES = golden("two_processes.json")
PIPELINE = golden("pipeline.json")
# Those of the suite; `make test-pipelines` runs the others.
QUICK = {"auto-cached", "affine-augmented", "surgical-blocks"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("golden"))
    stages.make_project()
    yield
    os.chdir(before)


def compare(found: dict[str, Any], expected: dict[str, Any], recorded_on: dict[str, str]) -> None:
    if machine() == recorded_on:
        assert found == expected
        return
    for stage in stages.TRAINING:
        for name in ("train_loss", "val_loss"):
            values, wanted = found[stage][name], expected[stage][name]
            # Epoch 0 has no training loss, and pytest.approx compares numbers only.
            assert [value is None for value in values] == [value is None for value in wanted]
            numbers = [value for value in wanted if value is not None]
            found_numbers = [value for value in values if value is not None]
            assert found_numbers == pytest.approx(numbers, rel=0.05, abs=0.02)


def test_draws_of_whole_numbers_are_those_of_before() -> None:
    assert draws.exact() == golden("draws.json")["exact"]


def test_augmented_and_mixed_pixels_are_those_of_before() -> None:
    expected = golden("draws.json")["pixels"]
    found = draws.pixels()
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=1e-4), name


@pytest.mark.slow
def test_the_gate_decides_as_before_on_fixed_predictions() -> None:
    found = decisions.decide()
    for name, rules in golden("decisions.json").items():
        assert _without_text(found[name]) == _without_text(rules), name


def _without_text(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the wording, which may change; numbers and outcomes may not."""
    return [{k: v for k, v in rule.items() if k not in {"sentence", "needed"}} for rule in rules]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else [pytest.mark.pipelines])
        for name in cases.CASES
    ],
)
def test_a_short_training_ends_at_the_same_bits(name: str, project: None) -> None:
    found = stages.run_in_process(cases.CASES[name])
    compare(found, TRAININGS["cases"][name], TRAININGS["machine"])


@pytest.mark.pipelines
def test_two_processes_end_at_the_same_bits(project: None) -> None:
    found = stages.run_in_processes(cases.TWO_PROCESSES)
    assert found.keys() == cases.TWO_PROCESSES.keys()
    for name, result in found.items():
        compare(result, TWO_PROCESSES["cases"][name], TWO_PROCESSES["machine"])


@pytest.mark.pipelines
def test_a_short_pipeline_on_the_digits_makes_the_same_models(
    short_pipeline: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(short_pipeline.folder)
    found, expected = stages.digits_results(), PIPELINE["models"]
    assert found["facts"] == expected["facts"]
    if machine() == PIPELINE["machine"]:
        assert found == expected
    else:
        assert found["metrics"]["accuracy"] == pytest.approx(
            expected["metrics"]["accuracy"], abs=0.03
        )
