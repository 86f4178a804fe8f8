"""The section on depth: how well the features of each block classify, as `thaw probe` measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from thaw.system.project_paths import PROBE

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.evaluation.page.subject import Subject


def depth_section(subject: Subject, path: Path = PROBE) -> list[dict[str, Any]] | None:
    """Return a row for each probe: its kind, block, accuracy and standard error.

    None if `thaw probe` has not measured these data with this backbone, or if its file is damaged:
    the diagram is optional, and must not stop the registration.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        asked = subject.data.digest, subject.spec.backbone
        if (content["data"], content["backbone"]) != asked:
            return None
        found = content["measurements"]
        single, joint = found["block_probes"], found["joint_probes"]
        # The last block alone is also where the line of joined blocks ends.
        return [_row("block alone", probe) for probe in single] + [
            _row("block to the last", probe) for probe in (*joint[::-1], single[-1])
        ]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _row(kind: str, probe: dict[str, Any]) -> dict[str, Any]:
    accuracy, error = float(probe["accuracy"]), float(probe["error"])
    return {"kind": kind, "block": int(probe["blocks"][0]), "accuracy": accuracy, "error": error}
