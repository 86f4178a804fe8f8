"""The modules that can change a stage's output: those it imports, directly or not.

DVC does not follow imports, so ``dvc.yaml`` lists them, and a test holds the lists against this.

    python -m tests.code_deps       write them into dvc.yaml
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.system import launching

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"

# What says how a stage runs and what it tells, but never what comes out of it.
NO_EFFECT = {
    "errors",
    "config/explanations",
    "config/overlaps",
    "system/console",
    "system/processes",
    "system/provenance",
    "system/files",
    "system/launching",
}
# Only evaluate reads a result back from MLflow; for the others it is a copy of their history.
NO_EFFECT_BUT_IN_EVALUATE = {"tracking/result_run"}


def needed(stage: str) -> list[str]:
    """The paths that the stage's ``deps`` must list, in their order."""
    left_out = NO_EFFECT | (NO_EFFECT_BUT_IN_EVALUATE if stage != "evaluate" else set())
    return sorted(
        str(path.relative_to(ROOT))
        for path in closure(source(stage))
        if path.relative_to(SRC / "thaw").with_suffix("").as_posix() not in left_out
    )


def module_file(name: str) -> Path | None:
    """The source of ``thaw.some.module``; None for packages and whatever is not ours."""
    path = SRC.joinpath(*name.split(".")).with_suffix(".py")
    return path if path.is_file() else None


def imported(tree: ast.AST) -> Iterator[str]:
    """The names that are imported at run time, wherever in the module."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for branch in node.orelse:
                yield from imported(branch)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not followed here"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imported(node)


@cache
def closure(path: Path) -> frozenset[Path]:
    """The module and all of ours that it imports, directly or not."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            found = map(module_file, imported(ast.parse(current.read_text())))
            waiting += [path for path in found if path is not None]
    return frozenset(seen)


def source(stage: str) -> Path:
    return SRC / "thaw" / "stages" / f"{stage}.py"


def main() -> None:
    """Write every stage's list, and leave the rest of ``dvc.yaml`` as it is."""
    path = ROOT / "dvc.yaml"
    text = path.read_text()
    for stage in launching.STAGES:
        begin = text.index(f"\n  {stage}:\n")
        lines = "".join(f"      - {name}\n" for name in needed(stage))
        written = re.sub(r"(      - src/.*\n)+", lines, text[begin:], count=1)
        text = text[:begin] + written
    path.write_text(text)


if __name__ == "__main__":
    main()
