from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode

from tests.forks import Forks, Kill, in_child


def _forks(folder: Path, processes: int = 1) -> Any:
    (folder / "project").mkdir()
    return Forks(SimpleNamespace(folder=folder / "project"), processes)  # type: ignore[arg-type]


def test_kills_are_drawn_of_all_kinds() -> None:
    generator = random.Random(0)
    kills = [Kill.drawn(generator, 2) for _ in range(40)]
    assert {kill.rank for kill in kills} == {0, 1}
    assert {kill.target for kill in kills} == {"group", "process"}
    assert {kill.when for kill in kills} == {"before", "after"}
    assert {kill.seconds is None for kill in kills} == {True, False}


def test_a_function_ends_in_its_own_folder_and_its_failure_is_told(tmp_path: Path) -> None:
    forks = _forks(tmp_path)
    assert forks.run([lambda: Path("written").touch()], "stage", None) is False
    assert (tmp_path / "project/written").exists()
    with pytest.raises(AssertionError, match=r"stage None: \[3\]"):
        forks.run([lambda: exit(3)], "stage", None)
    with pytest.raises(AssertionError, match="Traceback"):
        forks.run([lambda: 1 / 0], "stage", None)


@pytest.mark.parametrize("target", ["group", "process"])
def test_one_process_or_all_are_killed(target: str, tmp_path: Path) -> None:
    kill = Kill(rank=1, target=target, seconds=0.3, write=0, when="")
    first, second = (lambda: Path("first").touch()), signal.pause
    if target == "group":
        first = signal.pause
    assert _forks(tmp_path, 2).run([first, second], "stage", kill)
    assert (tmp_path / "project/first").exists() == (target == "process")


def test_the_kill_comes_at_a_write(tmp_path: Path) -> None:
    def write() -> None:
        for name in ("a", "b", "c"):
            Path("part").touch()
            Path("part").replace(name)

    kill = Kill(rank=0, target="process", seconds=None, write=2, when="after")
    assert _forks(tmp_path).run([write], "stage", kill)
    assert sorted(path.name for path in (tmp_path / "project").iterdir()) == ["a", "b"]


def test_the_others_end_when_one_is_killed(tmp_path: Path) -> None:
    kill = Kill(rank=0, target="process", seconds=0.2, write=0, when="")
    assert _forks(tmp_path, 2).run([signal.pause, signal.pause], "stage", kill)


def test_the_output_has_the_lines_of_the_last_run_alone(tmp_path: Path) -> None:
    forks = _forks(tmp_path)
    for text in ("first", "second"):
        forks.run([lambda text=text: print(text)], "stage", None)
    assert forks.output == "second\n"


def test_a_failure_without_a_kill_is_told_also_where_the_others_had_to_be_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path("waiting").touch()
        signal.pause()

    def fail() -> None:
        while not Path("waiting").exists():
            time.sleep(0.01)
        sys.exit(3)

    monkeypatch.setattr("tests.forks._GRACE", 0.1)
    with pytest.raises(AssertionError, match=r"stage None: \[-9, 3\]"):
        _forks(tmp_path, 2).run([wait, fail], "stage", None)


def test_a_fork_trains_after_fake_tensors_were_used() -> None:
    with FakeTensorMode():  # as torch.export and torch.compile do
        torch.randn(2, 2).sum()

    def gradient() -> float:
        weight = torch.ones(1, requires_grad=True)
        torch.autograd.backward((3 * weight).sum())
        return float(weight.grad) if weight.grad is not None else 0.0

    assert gradient() == in_child(gradient) == 3.0
