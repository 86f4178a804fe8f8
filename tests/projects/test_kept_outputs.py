from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from thaw.errors import ThawError
from thaw.projects import kept_outputs
from thaw.projects.kept_outputs import modified_stages, run_dvc, stages_to_keep
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from pathlib import Path


def test_only_changes_of_code_leave_a_stage_to_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    status = """{
        "prepare": [{"changed deps": {"src/thaw/a.py": "deleted", "thaw.lock": {"x": "new"}}}],
        "warmup_head": [{"changed deps": {"params.yaml": {"seed": "modified"}}}],
        "unfreeze": [{"changed outs": {"models/unfreeze": "deleted"}}, "changed command"],
        "fold_bn": ["changed command"]
    }"""
    monkeypatch.setattr(kept_outputs, "run_dvc", lambda *_: status)
    kept, reasons = stages_to_keep()
    assert kept == ["prepare", "fold_bn", "evaluate"]
    assert reasons == {
        "warmup_head": "params.yaml: seed (modified)",
        "unfreeze": "models/unfreeze (deleted)",
    }
    assert set(kept) | set(reasons) == set(STAGES)


def test_outputs_that_an_upgrade_has_converted_are_no_change_of_a_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = """{
        "prepare": [{"changed deps": {"data/raw": "modified", "data/other": "new"}}],
        "warmup_head": [{"changed deps": {"data/prepared/index.npy": "modified"}}],
        "unfreeze": [{"changed deps": {"params.yaml": {"seed": "modified", "augment": "new"}}}],
        "fold_bn": [{"changed outs": {"models/fold_bn/a": "modified"}}]
    }"""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {stage: {} for stage in STAGES}}))
    (tmp_path / "dvc.lock").touch()
    monkeypatch.setattr(kept_outputs, "run_dvc", lambda *_: status)
    assert modified_stages() == {
        "prepare": "data/raw (modified)",
        "unfreeze": "params.yaml: seed (modified)",
    }


def test_a_failure_of_dvc_is_an_error_with_its_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ThawError, match=r"`dvc status --json` failed: .*not inside of a DVC"):
        run_dvc("status", "--json")
