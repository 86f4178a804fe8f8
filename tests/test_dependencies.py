from __future__ import annotations

import re
import sys
import tomllib
from typing import TYPE_CHECKING

from tests.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORT = re.compile(
    r"^ *(?:from (\w+)[\w.]* import |import (\w+)[\w.]*(?: as \w+)?(?: *#.*)?$)", re.MULTILINE
)
# The packages that are imported by another name than their own.
NAMES = {
    "PIL": "pillow",
    "google": "protobuf",
    "ruamel": "ruamel-yaml",
    "sklearn": "scikit-learn",
}


def plain(requirement: str) -> str:
    """Return the name of the package in a requirement, in the spelling of an index."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def imported() -> Iterator[tuple[str, str]]:
    """Yield the name of each package that thaw imports, and the file."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for found in IMPORT.finditer(path.read_text()):
            yield found[1] or found[2], str(path)


def test_every_imported_package_is_a_declared_requirement() -> None:
    extras = PROJECT["optional-dependencies"].values()
    lists = [PROJECT["dependencies"], *extras]
    declared = {plain(requirement) for each in lists for requirement in each}
    of_python = {*sys.stdlib_module_names, "thaw"}
    found = list(imported())
    assert {"torch", "mlflow", "starlette"} <= {name for name, _ in found}
    missing = {
        f"{path}: {name}"
        for name, path in found
        if name not in of_python and plain(NAMES.get(name, name)) not in declared
    }
    assert missing == set()
