"""Every benchmark answers `--help` and refuses unknown options, before it starts anything."""

from __future__ import annotations

import runpy
import subprocess
import sys
import tempfile
from importlib import import_module
from typing import Any, NoReturn

import pytest

from benchmarks import command_line
from tests.project import ROOT
from thaw.system.launching import ENVIRONMENT

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for path in (ROOT / "benchmarks").rglob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)
PACKAGES = ("benchmarks", "benchmarks.gpu")


def started(*_: Any, **__: Any) -> NoReturn:
    """Take the place of what every benchmark begins with."""
    raise AssertionError("the benchmark has started")


def run(module: str, option: str, monkeypatch: pytest.MonkeyPatch) -> object:
    """Return the exit status of ``python -m MODULE OPTION``, in this process."""
    file = f"{module}.__main__" if module in PACKAGES else module
    if module == "benchmarks.team_servers":
        pytest.importorskip("boto3", reason="the servers are an extra of their own")
    import_module(file)  # libraries may start processes when they are imported
    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(tempfile, "mkdtemp", started)
    monkeypatch.setattr(sys, "argv", [module, option])
    for name, value in ENVIRONMENT.items():  # a benchmark of a GPU would start once more with them
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, file)  # runpy warns of modules that are imported already
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    return ended.value.code


def test_a_parser_shows_its_description_as_it_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        command_line.parser("First.\n\n    python -m this    two  spaces").parse_args(["--help"])
    assert "First.\n\n    python -m this    two  spaces\n" in capsys.readouterr().out


def test_the_modules_contain_those_of_all_targets() -> None:
    assert {*PACKAGES, "benchmarks.large_data"} < set(MODULES)


@pytest.mark.slow  # imports
@pytest.mark.parametrize("module", [name for name in MODULES if name != "benchmarks"])
def test_help_is_printed_and_nothing_starts(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(module, "--help", monkeypatch) in {0, None}
    assert "usage:" in capsys.readouterr().out.lower()


@pytest.mark.slow  # imports
@pytest.mark.parametrize("module", MODULES)
def test_an_unknown_option_is_refused_and_nothing_starts(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(module, "--no-such-option", monkeypatch) == 2
    assert capsys.readouterr().err
