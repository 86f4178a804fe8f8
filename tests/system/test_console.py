from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.system.console import print_line, progress, say, warn

if TYPE_CHECKING:
    import pytest


def test_a_message_is_printed_unchanged_on_the_error_stream(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("[bold]a/b[/bold] " + "x" * 200)
    assert capsys.readouterr() == ("", "[bold]a/b[/bold] " + "x" * 200 + "\n")


def test_a_line_of_a_result_is_whole_on_the_output_stream(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_line("http://host/" + "x" * 100 + "[b]")
    assert capsys.readouterr() == ("http://host/" + "x" * 100 + "[b]\n", "")


def test_a_warning_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    warn("few images")
    assert capsys.readouterr().err == "warning: few images\n"


def test_control_characters_of_a_file_name_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("a\x1b[2J.png")
    warn("b\x07.png")
    assert capsys.readouterr().err == "a\\x1b[2J.png\nwarning: b\\x07.png\n"


def test_progress_without_a_terminal_returns_the_items_and_prints_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    items = [1, 2]
    assert progress(items, "reading", 2) is items
    assert capsys.readouterr() == ("", "")
