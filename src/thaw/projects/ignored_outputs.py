"""Outputs of DVC that git must ignore: DVC takes no file into its cache that git keeps."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from thaw.projects.creation import ignored_by_git, template
from thaw.system.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEADING = "\n# Outputs, pages and pictures of thaw, added by `thaw upgrade`"
_IGNORED, _NOT_IGNORED = Path(".gitignore"), 1  # the exit code of `git check-ignore`


def ignore_outputs(paths: Iterable[Path]) -> None:
    """Name those of ``paths`` that DVC keeps in its cache in ``.gitignore``, as DVC does later.

    Else `git add --all` before the next `dvc repro` would add them, and DVC would refuse them.
    Paths that git ignores already, and folders without git, are left as they are.
    """
    cached = set(_cached_outputs())
    with suppress(OSError):  # there is no git
        for path in paths:
            if path in cached and path.exists() and _is_not_ignored(path):
                _append(path.parent / _IGNORED, f"/{path.name}")


def with_missing_lines(text: str) -> str:
    """Return the text of a project's ``.gitignore`` with the lines of a new project that it lacks.

    A line that the user has turned round, ``!/predictions.csv``, is not missing.
    """
    there = set(text.splitlines())
    missing = [
        line
        for line in ignored_by_git().splitlines()
        if line and not line.startswith("#") and not {line, f"!{line}"} & there
    ]
    if not missing:
        return text
    before = text if not text or text.endswith("\n") else f"{text}\n"
    return before + "\n".join([_HEADING, *missing, ""])


def _cached_outputs() -> Iterator[Path]:
    """Yield the outputs of thaw's stages that DVC keeps in its cache."""
    pipeline: Any = YAML(typ="safe").load(template("dvc.yaml.template"))
    for stage in pipeline["stages"].values():
        for kind in ("outs", "metrics", "plots"):
            for entry in stage.get(kind, []):
                options: dict[str, Any] = entry if isinstance(entry, dict) else {entry: {}}
                yield from (Path(path) for path in options if options[path].get("cache", True))


def _is_not_ignored(path: Path) -> bool:
    command = ["git", "check-ignore", "--quiet", "--no-index", "--", str(path)]
    return subprocess.run(command, capture_output=True).returncode == _NOT_IGNORED


def _append(file: Path, line: str) -> None:
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    text = before if not before or before.endswith("\n") else f"{before}\n"
    write_whole(file, f"{text}{line}\n".encode())
