"""``thaw.lock``: the version of the tool that a project uses, and the code digest of each stage.

``dvc.yaml`` lists the digest of each stage as a parameter, so that DVC runs a stage again when its
code changes. The file is committed with the project.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw import __version__
from thaw.errors import ThawError
from thaw.system.code_digests import PACKAGE, code_digests
from thaw.system.conflict_markers import conflict
from thaw.system.console import warn
from thaw.system.files import write_whole
from thaw.system.project_paths import TOOL_LOCK
from thaw.system.stage_names import STAGES

_LIBRARIES = ("torch", "torchvision", "timm")
_HEADER = "# Written by `thaw upgrade`. Commit it. A stage runs again when its digest changes.\n"


@dataclass(frozen=True)
class ToolLock:
    """The content of ``thaw.lock``.

    Attributes:
        versions: Of thaw, torch, torchvision and timm.
        stages: The code digest of each stage.
        kept: For each stage whose outputs were made by other code and kept
            (``thaw upgrade --keep``): its digest and the versions then.
    """

    versions: dict[str, str]
    stages: dict[str, str]
    kept: dict[str, dict[str, str]] = field(default_factory=dict)


def installed() -> ToolLock:
    """Return the lock of the tool that is installed."""
    versions = {"thaw": __version__} | library_versions()
    digests = code_digests()
    return ToolLock(versions, {stage: digests[stage] for stage in STAGES})


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that compute a result, for keys of stored results."""
    return {name: _version(name) for name in _LIBRARIES}


def read(path: Path = TOOL_LOCK) -> ToolLock | None:
    """Return the lock in the file ``path``; None if there is no such file.

    Raises:
        ThawError: the file is damaged.
    """
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        content = YAML(typ="safe").load(text)
        return ToolLock(
            _texts(content["versions"]),
            _texts(content["stages"]),
            {stage: _texts(made) for stage, made in content.get("kept", {}).items()},
        )
    except FileNotFoundError:
        return None
    except (
        OSError, ValueError, YAMLError, KeyError, TypeError, AttributeError, RecursionError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:200]
        raise ThawError(f"{path} is damaged{conflict(text)} ({reason}): run `{fix()}`") from None


def write(lock: ToolLock, path: Path = TOOL_LOCK) -> None:
    """Write ``lock`` to the file ``path``.

    Raises:
        ThawError: the disk is full or read-only.
    """
    content = {key: value for key, value in asdict(lock).items() if value}
    stream = StringIO()
    yaml = YAML()
    yaml.width = 200
    yaml.dump(content, stream)
    write_whole(path, (_HEADER + stream.getvalue()).encode())


def refuse_other_code(stage: str) -> None:
    """Check that the installed code of ``stage`` is the code that ``thaw.lock`` names.

    Raises:
        ThawError: the digests differ, or there is no ``thaw.lock``.
    """
    lock = read()
    if lock is None:
        raise ThawError(f"{TOOL_LOCK} is not in {Path.cwd()}: run `{fix()}`")
    if lock.stages.get(stage) != code_digests()[stage]:
        raise ThawError(
            f"{TOOL_LOCK}: the stage {stage} is locked to the code of thaw "
            f"{lock.versions.get('thaw', '?')}, and the installed thaw {__version__} has other "
            f"code for it: run `{fix()}`"
        )


def changed_libraries(lock: ToolLock) -> list[str]:
    """Return, for each library with another version than ``lock`` names, a text with both.

    The build of a version (``+cu130``) does not count: colleagues with other devices have others.
    """
    return [
        f"{name} {lock.versions[name]} (installed: {found})"
        for name, found in library_versions().items()
        if name in lock.versions and _public(lock.versions[name]) != _public(found)
    ]


def _public(version_text: str) -> str:
    return version_text.partition("+")[0]


def warn_of_other_libraries() -> None:
    """Warn if ``thaw.lock`` names other versions of libraries than those that are installed."""
    if (lock := read()) is not None and (changed := changed_libraries(lock)):
        warn(
            f"{TOOL_LOCK} names other libraries than those that compute now: {', '.join(changed)}. "
            f"Results that exist stay valid. `{fix()}` records the installed versions."
        )


def forget_kept(stage: str) -> None:
    """Remove the note that the outputs of ``stage`` were made by other code."""
    lock = read()
    if lock is not None and stage in lock.kept:
        kept = {name: made for name, made in lock.kept.items() if name != stage}
        write(replace(lock, kept=kept))


def fix() -> str:
    """Return the command that writes ``thaw.lock`` in the working directory."""
    return "make run" if is_tool_checkout(Path.cwd()) else "thaw upgrade"


def is_tool_checkout(folder: Path) -> bool:
    """Return whether the running package lies in ``folder``: the repository of the tool itself."""
    return (folder / "src" / "thaw").resolve() == PACKAGE.resolve()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _texts(content: dict[str, Any]) -> dict[str, str]:
    for key, value in content.items():
        if not isinstance(value, str):
            raise TypeError(f"{key} is no text")
    return {str(key): value for key, value in content.items()}
