"""Read the stages in ``dvc.lock``, and refuse a file that DVC did not write in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw.errors import ThawError
from thaw.system.conflict_markers import conflict
from thaw.system.project_paths import DVC_LOCK

if TYPE_CHECKING:
    from pathlib import Path

_REMEDY = ": restore it (`git checkout dvc.lock`), or delete it and `dvc repro`"
_CUT_REMEDY = (
    ": DVC ended before it had written this file: run `thaw repair`, then `dvc repro`, which "
    "writes it again; or restore it (`git checkout dvc.lock`)"
)


def read_stages(lock: Path = DVC_LOCK) -> dict[str, Any]:
    """Return the locked stages by name, none if there is no ``dvc.lock``.

    Raises:
        ThawError: the file cannot be read, or is not one that DVC wrote.
    """
    if not lock.exists():
        return {}
    text = ""
    try:
        text = lock.read_text(encoding="utf-8")
        content = YAML(typ="safe").load(text)
    except (OSError, ValueError, YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:150]
        raise ThawError(f"{lock} cannot be read{conflict(text)}: {reason}{_remedy(lock)}") from None
    stages = content.get("stages", {}) if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(map(_is_stage, stages.values())):
        raise ThawError(f"{lock} is not a lock that DVC wrote{conflict(text)}{_remedy(lock)}")
    return stages


def is_cut(lock: Path = DVC_LOCK) -> bool:
    """Return whether ``lock`` is a file that DVC has not written to its end.

    DVC empties the file and writes it in place, so that a DVC that is killed leaves no content, or
    its beginning. A whole file ends with a line end. One that others write as JSON need not.
    """
    if not lock.is_file():
        return False
    content = lock.read_bytes()
    return not content.strip() or (content.startswith(b"schema:") and content[-1:] != b"\n")


def _remedy(lock: Path) -> str:
    return _CUT_REMEDY if is_cut(lock) else _REMEDY


def _is_stage(stage: object) -> bool:
    outs = stage.get("outs", []) if isinstance(stage, dict) else None
    return isinstance(outs, list) and all(
        isinstance(out, dict) and isinstance(out.get("path"), str) for out in outs
    )
