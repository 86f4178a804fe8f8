"""Check the size of modules, their imports, and that every module has a test file.

Usage: ``python -m tools.check_structure``. Prints one line per finding, exits with 1 if there is
any. The number of parameters of a function is checked by ruff (PLR0913), the order of the layers
by import-linter.
"""

from __future__ import annotations

import graphlib
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grimp

from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "thaw"
MAX_LINES = 250


def oversized(package: Path) -> list[str]:
    """Return a finding for each module with more than ``MAX_LINES`` lines."""
    found = []
    for path in sorted(package.rglob("*.py")):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_LINES:
            name = path.relative_to(package)
            found.append(f"{name}: {lines} lines, at most {MAX_LINES}: split it by concepts")
    return found


def untested(package: Path, tests: Path) -> list[str]:
    """Return a finding for each module without its file in the mirrored test tree.

    ``package/model/batchnorm.py`` is tested by ``tests/model/test_batchnorm.py``.
    """
    found = []
    for path in sorted(package.rglob("*.py")):
        if path.name in {"__init__.py", "__main__.py"}:
            continue
        module = path.relative_to(package)
        test = module.with_name(f"test_{path.name}")
        if not (tests / test).is_file():
            found.append(f"{module}: has no test file {tests.name}/{test}")
    return found


def circles(graph: grimp.ImportGraph) -> list[str]:
    """Return a finding for one import circle, if there is any.

    Imports inside functions and under ``TYPE_CHECKING`` count.
    """
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return [f"import circle: {' <- '.join(error.args[1])}"]
    return []


def connected(graph: grimp.ImportGraph, modules: Iterable[str]) -> list[str]:
    """Return a finding for each of ``modules`` that imports another one, directly or not."""
    found = []
    for importer, imported in itertools.permutations(modules, 2):
        chain = graph.find_shortest_chain(importer, imported)
        if chain:
            found.append(f"a stage imports another one: {' -> '.join(chain)}")
    return found


def main() -> int:
    """Print all findings; return the exit code."""
    package, tests = ROOT / "src" / PACKAGE, ROOT / "tests"
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    found = [
        *oversized(package),
        *circles(graph),
        *connected(graph, [f"{PACKAGE}.stages.{stage}" for stage in STAGES]),
        *untested(package, tests),
    ]
    for finding in found:
        print(finding)
    if found:
        print(f"{len(found)} findings. The rules are in tools/check_structure.py.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
