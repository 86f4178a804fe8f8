"""Digests of the source code that computes the result of each stage.

A digest covers a module and everything of this package that it imports, also inside functions.
Comments, docstrings and formatting do not count. A wheel contains the digests as a file; in a
source checkout they are computed from the sources that are imported. That takes 0.3 s, so they are
kept beside Python's bytecode until a source file changes.

The build of the wheel runs this module: it needs the standard library alone.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.system.stage_names import STAGES, TRAINING_STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[1]
SHIPPED = PACKAGE / "code_digests.json"
COMPUTED = PACKAGE / "__pycache__" / "code_digests.json"

# The modules whose digests are kept, by name. Activations are computed by any model that can be
# loaded, from any prepared data. The dry run tries parameters before the first stage.
_ROOTS = {stage: (f"stages/{stage}.py",) for stage in STAGES} | {
    "activations": (
        "training/cached_activations.py",
        "training/activation_cache.py",
        "model/directory.py",
        "data/prepared.py",
    ),
    "dry_run": ("training/dry_run.py",),
}
# Modules that start, report, configure and decide on releases, but do not compute. For the
# configuration, the values of the parameters count instead; it imports the registries of metrics
# and optimisers for their names, as the names of other values.
_LEFT_OUT = (
    "cli/", "system/", "config/", "metrics/", "optimizers/", "tracking/", "evaluation/page/",
    "promotion/", "api.py", "errors.py", "literals.py",
)  # fmt: skip
# Only evaluate computes metrics and has an MLflow run as its result; for the other stages the run
# is a copy of their files. Only the stages that train, and the dry run, use an optimiser.
_COUNTED = {
    **dict.fromkeys((*TRAINING_STAGES, "dry_run"), ("optimizers/",)),
    "evaluate": ("metrics/", "tracking/"),
}


@cache
def code_digests() -> dict[str, str]:
    """Return a digest (SHA-256, hexadecimal) for each stage, ``activations`` and ``dry_run``."""
    if SHIPPED.exists():
        shipped: dict[str, str] = json.loads(SHIPPED.read_text(encoding="utf-8"))
        return shipped
    return compute_if_changed(PACKAGE, COMPUTED)


def result_code_digest() -> str:
    """Return one digest (SHA-256, hexadecimal) of the code of all stages."""
    digests = code_digests()
    return hashlib.sha256("".join(digests[stage] for stage in STAGES).encode()).hexdigest()


def compute(package: Path) -> dict[str, str]:
    """Return the digests of the sources in the folder ``package``, as ``code_digests`` does."""
    return {name: _digest(package, name) for name in _ROOTS}


def counted_modules(package: Path, name: str) -> list[str]:
    """Return the modules whose code the digest ``name`` covers, as paths in ``package``."""
    return [
        path
        for path in sorted(_closure(package, _ROOTS[name]))
        if path.startswith(_COUNTED.get(name, ())) or not path.startswith(_LEFT_OUT)
    ]


def compute_if_changed(package: Path, kept: Path) -> dict[str, str]:
    """Return ``compute(package)``, from the file ``kept`` unless a source file has changed since.

    As for bytecode, a change is another time or size.
    """
    files = {str(path): path.stat() for path in sorted(package.rglob("*.py"))}
    state = [[name, status.st_mtime_ns, status.st_size] for name, status in files.items()]
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(kept.read_text(encoding="utf-8"))
        if content["files"] == state and content["digests"].keys() == _ROOTS.keys():
            return dict(content["digests"])
    digests = compute(package)
    with suppress(OSError):  # the folder may be read-only
        kept.parent.mkdir(exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps({"files": state, "digests": digests}), encoding="utf-8")
        part.replace(kept)
    return digests


def _digest(package: Path, name: str) -> str:
    digest = hashlib.sha256()
    for path in counted_modules(package, name):
        digest.update(f"{path}\n{_read(package / path).digest}\n".encode())
    return digest.hexdigest()


def _closure(package: Path, roots: tuple[str, ...]) -> set[str]:
    """Return the modules ``roots`` and all that they import, directly or not.

    Imports of modules that are left out are followed, too: they may lead to one that counts.
    """
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _module_paths(package, _read(package / path).imports)
    return found


def _module_paths(package: Path, names: frozenset[str]) -> Iterator[str]:
    """Yield the paths of those of ``names`` that are modules of the package."""
    for name in names:
        top, *parts = name.split(".")
        if top == package.name and parts:
            for path in ("/".join(parts) + ".py", "/".join([*parts, "__init__.py"])):
                if (package / path).is_file():
                    yield path


class _Source:
    """The imports of a source file, and a digest of its code."""

    def __init__(self, path: Path) -> None:
        tree = ast.parse(path.read_bytes())
        self.imports = frozenset(_imports(tree))
        self.digest = hashlib.sha256(_dump(tree).encode()).hexdigest()


@cache
def _read_at(path: Path, _modified: int, _size: int) -> _Source:
    return _Source(path)


def _read(path: Path) -> _Source:
    status = path.stat()
    return _read_at(path, status.st_mtime_ns, status.st_size)


def _imports(tree: ast.AST) -> Iterator[str]:
    """Yield the names that are imported at run time, anywhere in the module.

    Raises:
        ValueError: an import is relative.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and _is_for_types(node):
            for branch in node.orelse:
                yield from _imports(branch)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno}: relative imports are not supported")
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not isinstance(node, ast.expr):  # an expression contains no imports
            yield from _imports(node)


def _is_for_types(node: ast.If) -> bool:
    return "TYPE_CHECKING" in ast.unparse(node.test)


def _dump(node: object) -> str:
    """Return the syntax tree as text without docstrings, positions and empty fields.

    Unlike ``ast.dump``, it is the same for all versions of Python: newer ones have more fields.
    """
    if isinstance(node, list):
        return f"[{','.join(map(_dump, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        shown = _without_docstring(node, value) if name == "body" else value
        if shown is not None and shown != []:
            fields.append(f"{name}={_dump(shown)}")
    return f"{type(node).__name__}({','.join(fields)})"


def _without_docstring(node: ast.AST, body: object) -> object:
    has_docstring = isinstance(
        node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    )
    if has_docstring and isinstance(body, list) and body and isinstance(body[0], ast.Expr):
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return body[1:]
    return body
