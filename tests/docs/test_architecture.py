from __future__ import annotations

import re
import tomllib

import pytest

from tests.project import ROOT


@pytest.fixture(scope="module")
def layers() -> list[str]:
    """The layers that import-linter checks, from top to bottom."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [name for row in contract["layers"] for name in row.split(" | ")]


def test_the_table_of_layers_has_all_layers_in_the_order_of_their_imports(
    layers: list[str],
) -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = page.split("## Layers")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == layers


def test_the_drawing_has_a_box_for_each_layer(layers: list[str]) -> None:
    drawing = (ROOT / "docs/images/layers.svg").read_text(encoding="utf-8")
    assert sorted(re.findall(r'class="t"[^>]*>(\w+)<', drawing)) == sorted(layers)
