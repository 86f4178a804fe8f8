from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from thaw.errors import ThawError
from thaw.system.project_paths import SPOOL
from thaw.tracking import spool
from thaw.tracking.run_identity import RunIdentity
from thaw.tracking.spool import Spool
from thaw.training.history import EpochRow

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = RunIdentity("key", "thaw", "a name", 1, {"seed": "0"}, {"thaw.key": "key"})
ENTRIES: list[spool.Entry] = [{"tags": {"a": "1"}}, {"status": "KILLED"}]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def filled() -> Path:
    """Return the spool file of a process that ended."""
    made = Spool(IDENTITY)
    for entry in ENTRIES:
        made.add(entry)
    made.close()
    return made.path


def test_an_epoch_has_its_values_its_step_and_its_time() -> None:
    entry = spool.epoch_entry("unfreeze", EpochRow(0, None, 2.0, 0.5, 0.0))
    values = {"unfreeze/val_loss": 2.0, "unfreeze/val_accuracy": 0.5, "unfreeze/lr": 0.0}
    assert entry["metrics"] == values
    assert entry["step"] == 0
    assert entry["time"] > 1.7e12


def test_the_file_of_a_process_that_ended_is_read_and_removed_when_it_is_delivered() -> None:
    path = filled()
    assert spool.waiting() == [path]
    with pytest.raises(ThawError, match="away"), spool.taken(path):
        raise ThawError("the store is away")
    with spool.taken(path) as content:
        assert content == (IDENTITY, ENTRIES)
    assert not list(SPOOL.iterdir())


def test_the_file_of_a_running_stage_is_not_taken() -> None:
    running = Spool(IDENTITY)
    with spool.taken(running.path) as content:
        assert content is None
    assert running.path.exists()
    running.remove()
    assert not list(SPOOL.iterdir())


def test_the_last_line_of_a_killed_process_is_left_out() -> None:
    path = filled()
    path.write_bytes(path.read_bytes() + json.dumps({"tags": {"b": "2"}}).encode()[:-3])
    with spool.taken(path) as content:
        assert content == (IDENTITY, ENTRIES)


@pytest.mark.parametrize("text", ["", "{", '{"key": 1}\n', "[]\n", "\x00\xff"])
def test_a_damaged_file_is_named_and_stays(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = filled()
    path.write_text(text)
    with spool.taken(path) as content:
        assert content is None
    assert path.exists()
    assert f"{path} cannot be read" in capfd.readouterr().err


def test_entries_stay_in_memory_where_the_file_cannot_be_written(
    capfd: pytest.CaptureFixture[str],
) -> None:
    SPOOL.parent.mkdir()
    SPOOL.write_text("a file in the way")
    made = Spool(IDENTITY)
    for entry in ENTRIES:
        made.add(entry)
    assert made.entries == ENTRIES
    assert capfd.readouterr().err.count("is lost if this process ends") == 1
