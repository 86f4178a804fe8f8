"""Build hook of the wheel: it writes the code digests of the stages into the wheel."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CodeDigestsHook(BuildHookInterface):  # type: ignore[misc]
    """Adds ``thaw/code_digests.json`` to a wheel; an editable installation computes it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compute the digests of the sources that go into the wheel."""
        if version == "editable":
            return
        source = Path(self.root) / "src"
        sys.path.insert(0, str(source))
        from thaw.system.code_digests import compute

        self._folder = tempfile.TemporaryDirectory(prefix="thaw-build-")
        path = Path(self._folder.name) / "code_digests.json"
        path.write_text(json.dumps(compute(source / "thaw"), indent=2) + "\n")
        build_data["force_include"][str(path)] = "thaw/code_digests.json"
