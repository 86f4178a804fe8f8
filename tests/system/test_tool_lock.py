from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thaw import __version__
from thaw.errors import ThawError
from thaw.system import tool_lock
from thaw.system.project_paths import TOOL_LOCK
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from thaw.system.tool_lock import ToolLock

ROOT = Path(__file__).parents[2]
OTHER = "0" * 64


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, which is entered."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def locked(**stages: str) -> ToolLock:
    """Write a lock with other digests for some stages."""
    lock = tool_lock.installed()
    lock = replace(lock, stages={**lock.stages, **stages})
    tool_lock.write(lock)
    return lock


def test_the_lock_names_the_versions_and_a_digest_for_each_stage() -> None:
    lock = tool_lock.installed()
    assert lock.versions["thaw"] == __version__
    assert set(lock.versions) == {"thaw", "torch", "torchvision", "timm"}
    assert tuple(lock.stages) == STAGES


def test_a_written_lock_is_read_back() -> None:
    lock = replace(tool_lock.installed(), kept={"prepare": {"thaw": "0.1.0", "digest": OTHER}})
    tool_lock.write(lock)
    assert tool_lock.read() == lock


def test_an_empty_folder_has_no_lock() -> None:
    assert tool_lock.read() is None


@pytest.mark.parametrize(
    "text", ["", "stages: {", "stages: [a]", "versions: 3\nstages: {}", "[" * 999]
)
def test_a_damaged_lock_names_the_command_that_writes_it(text: str) -> None:
    TOOL_LOCK.write_text(text)
    with pytest.raises(ThawError, match=r"thaw.lock is damaged .* run `thaw upgrade`"):
        tool_lock.read()


def test_a_stage_is_refused_only_when_its_own_code_is_another() -> None:
    locked(unfreeze=OTHER)
    tool_lock.refuse_other_code("warmup_head")
    with pytest.raises(ThawError, match=r"the stage unfreeze is locked .* run `thaw upgrade`"):
        tool_lock.refuse_other_code("unfreeze")


def test_a_stage_is_refused_without_a_lock() -> None:
    with pytest.raises(ThawError, match=r"thaw.lock is not in .*: run `thaw upgrade`"):
        tool_lock.refuse_other_code("prepare")


def test_in_the_repository_of_the_tool_the_command_is_make_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    assert tool_lock.fix() == "make run"


def test_a_stage_that_runs_again_is_no_longer_kept() -> None:
    made = {"thaw": "0.1.0", "digest": OTHER}
    tool_lock.write(replace(tool_lock.installed(), kept={"prepare": made, "unfreeze": made}))
    tool_lock.forget_kept("unfreeze")
    lock = tool_lock.read()
    assert lock is not None
    assert lock.kept == {"prepare": made}


def locked_libraries(**versions: str) -> None:
    """Write a lock with other versions of some libraries."""
    lock = tool_lock.installed()
    tool_lock.write(replace(lock, versions={**lock.versions, **versions}))


def test_other_libraries_are_named_with_both_versions(capsys: pytest.CaptureFixture[str]) -> None:
    locked_libraries(timm="0.1")
    tool_lock.warn_of_other_libraries()
    warning = capsys.readouterr().err
    assert f"timm 0.1 (installed: {version('timm')})" in warning
    assert "`thaw upgrade` records the installed versions" in warning
    assert "torchvision" not in warning


def test_another_build_of_the_same_version_is_no_other_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    locked_libraries(torch=f"{version('torch').partition('+')[0]}+rocm9")
    tool_lock.warn_of_other_libraries()
    assert capsys.readouterr().err == ""
