from __future__ import annotations

from thaw.system.code_digests import PACKAGE
from thaw.system.stage_names import STAGES


def test_every_stage_is_a_module_with_a_main_function() -> None:
    for stage in STAGES:
        assert "\ndef main() -> None:\n" in (PACKAGE / "stages" / f"{stage}.py").read_text()
