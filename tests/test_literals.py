from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import get_args

from thaw import literals
from thaw.config.prepare_section import SampleRange
from thaw.data.pixel_range import PixelRange
from thaw.model.head import ACTIVATIONS
from thaw.serving.export_formats import ENDINGS, PACKAGES
from thaw.system.stage_names import TRAINING_STAGES

PACKAGE = Path(literals.__file__).parent
SETS = {
    name: frozenset(get_args(value))
    for name, value in vars(literals).items()
    if isinstance(value, type(literals.Activation))
}


def written(path: Path) -> list[frozenset[str]]:
    """Return the names of each ``Literal[...]`` of a module that has several and nothing else."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
            items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            names = [str(item.value) for item in items if isinstance(item, ast.Constant)]
            if len(names) == len(items) > 1:
                found.append(frozenset(names))
    return found


def test_no_set_of_names_is_written_twice() -> None:
    places: dict[frozenset[str], list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for names in written(path):
            places[names].append(str(path.relative_to(PACKAGE)))
    assert {names: at for names, at in places.items() if len(at) > 1} == {}


def test_no_other_module_writes_a_set_with_more_names_that_contains_a_shared_one() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path != Path(literals.__file__):
            for names in written(path):
                assert [name for name, shared in SETS.items() if shared <= names] == [], path


def test_each_name_has_the_entry_that_computes_it() -> None:
    assert tuple(ACTIVATIONS) == get_args(literals.Activation)
    assert tuple(ENDINGS) == tuple(PACKAGES) == get_args(literals.ExportFormat)
    assert set(get_args(literals.LrTestStage)) < set(TRAINING_STAGES)


def test_models_accept_one_range_more_than_params_yaml_for_those_of_older_formats() -> None:
    stored, _ = get_args(PixelRange)
    offered, _ = get_args(get_args(SampleRange)[0])
    assert get_args(stored) == (*get_args(offered), "clip")
