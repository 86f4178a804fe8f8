"""``thaw upgrade``: adapt a project to the installed tool.

A project of thaw 0.1 is a clone of the tool's repository: its ``dvc.yaml`` lists source files. It
gets the ``dvc.yaml`` of all projects; its parameters, outputs and MLflow store stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.config.schema import SCHEMA_FILE, schema_text
from thaw.errors import ThawError
from thaw.projects import earlier_metrics, file_layout, unfinished_upgrade
from thaw.projects.ignored_outputs import ignore_outputs, with_missing_lines
from thaw.projects.kept_outputs import accept_outputs, modified_stages, stages_to_keep
from thaw.projects.parameter_file import converted_parameters
from thaw.projects.pipeline_file import converted_pipeline
from thaw.projects.unfinished_upgrade import UnfinishedUpgrade
from thaw.system import tool_lock
from thaw.system.files import write_whole
from thaw.system.project_paths import PARAMS_FILE, PIPELINE
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from thaw.config.renames import Rename
    from thaw.system.tool_lock import ToolLock

_IGNORED = Path(".gitignore")
_SOURCES = Path("src/thaw")
# Files of the tool's repository that a clone does not need when the tool is installed.
_OF_THE_TOOL = ("src/thaw", "tests", "benchmarks", "tools", "hatch_build.py", "pyproject.toml",
                "Makefile", ".ci")  # fmt: skip
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Upgrade:
    """The changes of an upgrade.

    Attributes:
        lock: The new ``thaw.lock``.
        texts: The new text of each file that changes, except for ``thaw.lock``.
        changed: The stages whose code has changed since their outputs were computed.
        renames: The parameters that get another name.
        outputs: The files of outputs that get the names which ``dvc.yaml`` lists now.
        note: What the next upgrade needs if this one is stopped. DVC takes over the outputs of the
            stages in ``note.accepted``: those in ``kept``, and, if ``dvc.yaml`` changes, those in
            which nothing else has changed.
        removable: Files of the tool that the project does not need any more.
        kept: The stages whose outputs are kept.
        not_kept: For stages whose outputs cannot be kept, what has changed beside the code.
    """

    lock: ToolLock
    texts: dict[Path, str]
    changed: list[str]
    renames: list[Rename]
    outputs: list[Path]
    note: UnfinishedUpgrade
    removable: list[str]
    kept: list[str] = field(default_factory=list)
    not_kept: dict[str, str] = field(default_factory=dict)


def plan_upgrade(*, keep: bool = False) -> Upgrade:
    """Return what the upgrade of the project in the working directory changes.

    With ``keep``, the outputs of each stage in which only the code has changed are kept. An upgrade
    that was stopped is completed.

    Raises:
        ThawError: a file of the project is damaged, or DVC fails.
    """
    before = tool_lock.read()
    lock = tool_lock.installed()
    locked = before.stages if before else {}
    changed = [stage for stage in STAGES if locked.get(stage) != lock.stages[stage]]
    pipeline = _new_pipeline()
    begun = unfinished_upgrade.read(lock.stages)
    keep = keep or bool(begun and begun.keep)
    unchanged, reasons = _unchanged_stages(begun, is_asked=bool((keep and changed) or pipeline))
    kept = [stage for stage in changed if keep and stage in unchanged]
    of_same_code = [
        stage for stage in (begun.accepted if begun else STAGES) if stage not in changed
    ]
    accepted = [stage for stage in unchanged if stage in kept or stage in of_same_code]
    earlier = before.kept if before else {}
    made = {stage: _made_by(before, stage) for stage in kept}
    made |= {stage: by for stage, by in earlier.items() if stage not in changed}
    parameters, renames = converted_parameters(PARAMS_FILE)
    texts = {PARAMS_FILE: parameters}
    if Path(SCHEMA_FILE).exists():
        texts[Path(SCHEMA_FILE)] = schema_text()
    if pipeline:
        texts[PIPELINE] = pipeline
    if _IGNORED.exists() and not tool_lock.is_tool_checkout(Path.cwd()):
        texts[_IGNORED] = with_missing_lines(_read(_IGNORED))
    texts = {path: text for path, text in texts.items() if _plain_lines(text) != _read(path)}
    outputs = list(dict.fromkeys([*(begun.paths() if begun else []), *file_layout.pending()]))
    return Upgrade(
        lock=replace(lock, kept=made),
        texts=texts,
        changed=changed,
        renames=renames,
        outputs=outputs,
        note=UnfinishedUpgrade(lock.stages, unchanged, accepted, [*map(str, outputs)], keep),
        removable=_removable(),
        kept=kept,
        not_kept=reasons if keep and changed else {},
    )


def apply_upgrade(upgrade: Upgrade) -> None:
    """Write the files of ``upgrade`` and record the outputs that are kept.

    Raises:
        ThawError: a file cannot be written, or DVC fails.
    """
    note = upgrade.note
    if note.unchanged:
        note.begin()
    for path, text in upgrade.texts.items():
        write_whole(path, text.encode())
    if tool_lock.read() != upgrade.lock:
        tool_lock.write(upgrade.lock)
    file_layout.convert()
    ignore_outputs(upgrade.outputs)
    earlier_metrics.remove_reports_from_git()
    try:
        accept_outputs(note.accepted)
    except ThawError:  # the message names the command that completes the upgrade
        unfinished_upgrade.end()
        raise
    unfinished_upgrade.end()


def _unchanged_stages(
    begun: UnfinishedUpgrade | None, *, is_asked: bool
) -> tuple[list[str], dict[str, str]]:
    """Return the stages whose outputs may be kept, and for others why not."""
    if begun is None:
        return stages_to_keep() if is_asked else ([], {})
    reasons = modified_stages()
    return [stage for stage in begun.unchanged if stage not in reasons], reasons


def _new_pipeline() -> str:
    """Return the new text of ``dvc.yaml``, "" if it does not change."""
    if tool_lock.is_tool_checkout(Path.cwd()):
        return ""
    text = converted_pipeline(PIPELINE)
    return "" if _plain_lines(text) == _read(PIPELINE) else text


def _removable() -> list[str]:
    """Return the files of the tool that a clone does not need when the tool is installed."""
    if tool_lock.is_tool_checkout(Path.cwd()) or not _SOURCES.exists():
        return []
    return [name for name in _OF_THE_TOOL if Path(name).exists()]


def _made_by(before: ToolLock | None, stage: str) -> dict[str, str]:
    """Return the versions and the code digest that made the outputs of ``stage``."""
    if before is None:
        return {"thaw": _clone_version(), "digest": _UNKNOWN}
    return before.kept.get(stage, {**before.versions, "digest": before.stages.get(stage, _UNKNOWN)})


def _clone_version() -> str:
    """Return the version of the tool that a clone contains."""
    found = re.search(r'__version__ = "([^"]+)"', _read(_SOURCES / "__init__.py"))
    return found[1] if found else _UNKNOWN


def _plain_lines(text: str) -> str:
    """Return ``text`` with the line endings that Python's text files give."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
