from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.cli.verbs import error, run
from tests.project import environment
from thaw import __version__
from thaw.cli.app import app, fit_help_to_terminal

VERBS = {
    "init", "upgrade", "repair", "stage", "check",
    "backbones", "report", "probe", "advise", "find-lr",
    "search", "promote", "rollback", "history", "status", "copy", "ui", "predict", "serve",
    "export",
}  # fmt: skip
OUTSIDE = [
    ("upgrade",), ("repair",), ("stage", "prepare"),
    ("check",), ("report",), ("probe",), ("advise",),
    ("find-lr",), ("search",), ("promote",), ("rollback",), ("history",), ("status",),
    ("copy", "models:/a/1", "b"), ("ui",), ("predict", "models:/a@champion", "."),
    ("serve", "models:/a@champion"), ("export", "models:/a@champion", "--out", "a.onnx"),
    ("push-to-hub", "models:/a@champion", "o/n"),
]  # fmt: skip


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_verb(option: str) -> None:
    output = run(option)
    assert all(f" {verb} " in output for verb in VERBS)


@pytest.mark.parametrize("columns", [40, 69, 80])
@pytest.mark.parametrize("verb", ["predict", "serve", "export", "search"])
def test_help_shows_whole_names_of_options(
    columns: int,
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(app, "rich_markup_mode", app.rich_markup_mode)
    fit_help_to_terminal()
    get_command(app).main([verb, "--help"], "thaw", standalone_mode=False)
    output = capsys.readouterr().out
    assert "…" not in output
    assert "--json" in output or "--port" in output


def test_version_is_printed() -> None:
    assert run("--version") == f"thaw {__version__}\n"


@pytest.mark.parametrize("verb", OUTSIDE, ids=lambda verb: verb[0])
def test_a_verb_outside_of_a_project_names_thaw_init_in_one_line(
    verb: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuned: None
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    message = error(*verb)
    assert message.startswith(f"{tmp_path} is not a project of thaw")
    assert "`thaw init DIR`" in message
    assert "\n" not in message


@pytest.mark.parametrize("verb", OUTSIDE, ids=lambda verb: verb[0])
def test_a_verb_in_a_subfolder_names_the_project_around_it(
    verb: tuple[str, ...], project: Path, monkeypatch: pytest.MonkeyPatch, tuned: None
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (project / "thaw.lock").touch()
    below = project / "notes" / "old"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert error(*verb).endswith(f"(it has no params.yaml), but {project} is one: `cd {project}`")


READING = [verb for verb in OUTSIDE if verb[0] in {"predict", "serve", "export", "push-to-hub"}]


@pytest.mark.parametrize("verb", OUTSIDE, ids=lambda verb: verb[0])
def test_only_a_verb_that_reads_a_model_names_the_variable_for_the_registry(
    verb: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuned: None
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert ("MLFLOW_TRACKING_URI" in error(*verb)) == (verb in READING)


def test_an_unknown_verb_is_refused() -> None:
    result = CliRunner().invoke(app, ["trane"])
    assert result.exit_code == 2
    assert "No such command 'trane'" in result.output


def test_a_choice_that_does_not_exist_is_refused_in_plain_words() -> None:
    result = CliRunner().invoke(app, ["find-lr", "warmup"])
    assert result.exit_code == 2
    assert "'warmup' is not one of 'warmup_head'" in result.output
    assert "Value error" not in result.output


def test_a_missing_argument_is_explained() -> None:
    result = CliRunner().invoke(app, ["predict", "photo.jpg"])
    assert result.exit_code == 2
    text = " ".join(result.output.replace("│", " ").split())
    assert "Missing argument 'folder'. The images, in this folder and all below it." in text


def test_an_error_of_the_installed_command_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    thaw = Path(sys.executable).parent / "thaw"
    done = subprocess.run(
        [thaw, "check"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not done.stdout


@pytest.mark.parametrize("verb", [("status",), ("params",), ("init", "new"), ("stage", "prepare")])
def test_a_verb_in_a_deleted_folder_is_refused_in_one_line(
    verb: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert error(*verb).startswith("the working directory was deleted or moved: ")


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["params", "params data.path", "backbones --json"])
def test_a_verb_whose_output_is_closed_ends_like_other_programs(verb: str) -> None:
    # Exit code 1 means that a gate or a check has failed.
    program = (
        "import os; reading, writing = os.pipe(); os.close(reading); os.dup2(writing, 1);"
        "from thaw.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *verb.split()], stderr=subprocess.PIPE, check=False
    )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("thaw se", {"search", "serve"}),
        ("thaw params unfreeze.e", {"unfreeze.epochs"}),
        ("thaw params promote.fl", {"promote.floors"}),
        ("thaw stage w", {"warmup_head"}),
        ("thaw find-lr u", {"unfreeze"}),
        ("thaw promote --dry", {"--dry-run"}),
    ],
)
def test_a_shell_completes_verbs_options_and_values(
    typed: str, completed: set[str], tmp_path: Path
) -> None:
    thaw = Path(sys.executable).parent / "thaw"
    variables = {
        "_THAW_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }
    done = subprocess.run(
        [thaw], env=os.environ | variables, cwd=tmp_path, capture_output=True, text=True
    )
    assert set(done.stdout.split()) == completed, done.stderr


@pytest.mark.slow
def test_a_shell_completes_verbs_and_keys_after_the_installation(tmp_path: Path) -> None:
    """Run it from bash, as a user does: it looks for the shell among its parents."""
    variables = {**environment(), "HOME": str(tmp_path)}

    def bash(script: str) -> str:
        command = ["bash", "-c", f"{script}\nexit $?"]
        return subprocess.run(
            command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    assert "bash completion installed" in bash("thaw --install-completion")
    last = "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))"
    complete = f'. ~/.bashrc; {last}; _thaw_completion thaw; echo "${{COMPREPLY[@]}}"'
    assert bash(f"COMP_WORDS=(thaw promo); {complete}").split() == ["promote"]
    assert "unfreeze.lr" in bash(f"COMP_WORDS=(thaw params unfreeze.l); {complete}").split()
    assert "-F _thaw_completion thaw" in bash(". ~/.bashrc; complete -p thaw")
