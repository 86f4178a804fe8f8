from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import grimp
import pytest

from tools import check_structure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "made_up"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    sys.modules.pop("made_up", None)


def test_a_module_with_too_many_lines_is_found(package: Path) -> None:
    (package / "long.py").write_text("x = 1\n" * 251)
    (package / "short.py").write_text("x = 1\n" * 250)
    (found,) = check_structure.oversized(package)
    assert found.startswith("long.py: 251 lines")


def test_a_module_without_a_test_file_is_found(package: Path, tmp_path: Path) -> None:
    (package / "tested.py").touch()
    (package / "other.py").touch()
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_tested.py").touch()
    assert check_structure.untested(package, tmp_path / "tests") == [
        "other.py: has no test file tests/test_other.py"
    ]


@pytest.mark.parametrize(
    "back",
    [
        "import made_up.first\n",
        "def f():\n    import made_up.first\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import made_up.first\n",
    ],
    ids=["at import", "in a function", "for types"],
)
def test_an_import_circle_is_found(package: Path, back: str) -> None:
    (package / "first.py").write_text("import made_up.second\n")
    (package / "second.py").write_text(back)
    (found,) = check_structure.circles(grimp.build_graph("made_up", cache_dir=None))
    assert "made_up.first" in found
    assert "made_up.second" in found


def test_modules_without_a_circle_pass(package: Path) -> None:
    (package / "first.py").write_text("import made_up.second\n")
    (package / "second.py").touch()
    assert check_structure.circles(grimp.build_graph("made_up", cache_dir=None)) == []


def test_a_stage_that_imports_another_one_through_a_helper_is_found(package: Path) -> None:
    (package / "first.py").write_text("import made_up.helper\n")
    (package / "helper.py").write_text("def f():\n    import made_up.second\n")
    (package / "second.py").touch()
    graph = grimp.build_graph("made_up", cache_dir=None)
    assert check_structure.connected(graph, ["made_up.first", "made_up.second"]) == [
        "a stage imports another one: made_up.first -> made_up.helper -> made_up.second"
    ]
    assert check_structure.connected(graph, ["made_up.helper"]) == []
