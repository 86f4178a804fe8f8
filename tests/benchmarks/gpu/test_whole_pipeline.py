from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.gpu import kills, whole_pipeline
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from pathlib import Path

STILL = "unfreeze"  # the stage that does not end, if it is told so


@pytest.fixture(autouse=True)
def stages_of_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let stages append their names to a file, without DVC."""

    def command(stage: str) -> list[str]:
        wait = f"if test -e wait && test {stage} = {STILL}; then sleep 60; fi"
        return ["sh", "-c", f"{wait}; echo {stage} >> ran; test ! -e fail"]

    monkeypatch.setattr(whole_pipeline, "stage_command", command)
    monkeypatch.setattr(whole_pipeline, "has_dvc", lambda: False)


def test_a_killed_run_continues_with_the_stage_that_had_not_ended(tmp_path: Path) -> None:
    (tmp_path / "wait").touch()
    assert whole_pipeline.kill(tmp_path, STILL, 0.05) == STILL
    before = (tmp_path / "ran").read_text().split()
    assert before == ["prepare", "warmup_head"]
    (tmp_path / "wait").unlink()
    assert list(whole_pipeline.reproduce(tmp_path)) == ["unfreeze", "fold_bn", "evaluate"]
    assert (tmp_path / "ran").read_text().split() == list(STAGES)


def test_a_stage_that_fails_is_shown(tmp_path: Path) -> None:
    (tmp_path / "fail").touch()
    for run in (whole_pipeline.reproduce, lambda project: whole_pipeline.kill(project, STILL, 9)):
        with pytest.raises(RuntimeError, match="ended with 1: Running stage 'prepare'"):
            run(tmp_path)


def test_a_run_that_has_ended_before_is_no_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert whole_pipeline.kill(tmp_path, "prepare", 30) is None
    made = []

    def make(folder: Path, _: object) -> Path:
        made.append(folder)
        return folder

    answers = iter([None, None, "prepare"])
    monkeypatch.setattr(kills, "make_project", make)
    monkeypatch.setattr(whole_pipeline, "kill", lambda *_: next(answers))
    seconds = dict.fromkeys(STAGES, 1.0)
    assert kills._killed(tmp_path, {}, 0, seconds) == "prepare"
    assert len(made) == 3  # each from nothing

    monkeypatch.setattr(whole_pipeline, "kill", lambda *_: None)
    with pytest.raises(RuntimeError, match="kill 1: each of 5 runs ended before"):
        kills._killed(tmp_path, {}, 0, seconds)
