from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING

from tests.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def plain(requirement: str) -> str:
    """Return the name of the package in a requirement, in the spelling of an index."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def imported() -> Iterator[tuple[str, str]]:
    """Yield the name of each package that thaw imports, and where."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            yield from ((name.partition(".")[0], f"{path}:{node.lineno}") for name in names)


def test_every_imported_package_is_a_declared_requirement() -> None:
    extras = PROJECT["optional-dependencies"].values()
    lists = [PROJECT["dependencies"], *extras]
    declared = {plain(requirement) for each in lists for requirement in each}
    distributions = packages_distributions()
    missing = {
        f"{where}: {name}"
        for name, where in imported()
        if name not in {*sys.stdlib_module_names, "thaw"}
        and not declared & set(map(plain, distributions.get(name, [name])))
    }
    assert missing == set()
