from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from thaw.errors import ThawError
from thaw.system.commands import failure_reason, run_module

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory for commands; modules are found in ``tmp_path / "modules"``."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    return tmp_path / "folder"


def write_module(folder: Path, content: str) -> None:
    (folder.parent / "modules/example.py").write_text(content)


def test_a_module_runs_in_the_folder_and_its_output_is_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_module(
        folder,
        "import os, sys\nprint(os.getcwd(), sys.argv[1:])\nprint('bad', file=sys.stderr)\n"
        "sys.exit(3)\n",
    )
    finished = run_module("example", ["a", "b c"], folder, accepted=(0, 3))
    assert finished.code == 3
    assert sorted(finished.output.splitlines()) == sorted([f"{folder} ['a', 'b c']", "bad"])
    assert capsys.readouterr().out == finished.output
    run_module("example", [], folder, show=False, accepted=(3,))
    assert capsys.readouterr().out == ""


def test_an_exit_code_that_is_not_accepted_raises_what_was_printed(folder: Path) -> None:
    write_module(folder, "import sys\nprint('Running')\nprint('error: no image')\nsys.exit(2)\n")
    with pytest.raises(ThawError, match=r"^no image$"):
        run_module("example", [], folder, show=False)


def test_files_of_the_folder_shadow_no_module(folder: Path) -> None:
    (folder / "random.py").write_text("raise SystemExit(9)")
    write_module(folder, "import random; print(random.Random)")
    assert run_module("example", [], folder, show=False).code == 0


def test_an_interrupt_stops_the_command_and_waits_for_its_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_module(
        folder,
        "import os, pathlib, time\n"
        "try:\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    pathlib.Path('stopped').touch()\n",
    )

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_module("example", [], folder)
    assert (folder / "stopped").exists()


def test_the_reason_of_a_failure_starts_at_its_mark() -> None:
    assert failure_reason("a\nerror: no image\n  - b\nERROR: failed\n") == (
        "no image\n  - b\nERROR: failed"
    )
    assert failure_reason("ERROR: failed") == "failed"
    lines = os.linesep.join(str(number) for number in range(30))
    assert failure_reason(lines).split() == [str(number) for number in range(10, 30)]
