from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cli.verbs import error, run
from thaw.config.schema import schema_text

if TYPE_CHECKING:
    from pathlib import Path


def test_params_lists_every_value(project: Path) -> None:
    lines = run("params").splitlines()
    assert lines[0].split() == ["seed", "0"]
    assert any(line.split()[:2] == ["data.source", "digits"] for line in lines)


def test_params_explains_a_parameter(project: Path) -> None:
    text = run("params", "unfreeze.depth")
    assert text.startswith("unfreeze.depth: 9\n  default: auto\n  range: integer from 0 to 1000")


def test_params_prints_json(project: Path) -> None:
    (found,) = json.loads(run("params", "seed", "--json"))
    assert (found["key"], found["value"], found["default"]) == ("seed", 0, 0)


def test_params_prints_the_schema_also_outside_of_a_project() -> None:
    assert run("params", "--schema") == schema_text()


def test_params_refuses_an_unknown_key(project: Path) -> None:
    assert error("params", "sede") == "there is no parameter sede; did you mean seed?"
