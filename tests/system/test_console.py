from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thaw.system import console
from thaw.system.console import ResultConsole, activity, print_line, progress, say, warn


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


def test_results_do_not_write_control_characters_of_texts_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    results = ResultConsole()
    monkeypatch.setattr(results, "file", stream)
    results.print("a\x1b[2Jb", style="bold")
    table = Table("name")
    table.add_row(Text("c\x1b[31md", "red"))
    results.print(table)
    assert "\x1b" not in stream.getvalue()
    assert r"a\x1b[2Jb" in stream.getvalue()
    assert r"c\x1b[31md" in stream.getvalue()


def test_colours_of_results_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    results = ResultConsole()
    monkeypatch.setattr(results, "file", stream)
    results.print("[red]x[/red]")
    assert stream.getvalue() == "\x1b[31mx\x1b[0m\n"


def test_progress_without_a_terminal_returns_the_items_and_prints_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    items = [1, 2]
    assert progress(items, "reading", 2) is items
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_progress_on_a_terminal_has_rate_and_remaining_time_and_disappears(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=100)
    monkeypatch.setattr(console, "_err", terminal)
    shown = progress(range(40), "reading [files]", 40)
    found = []
    for item in shown:
        found.append(item)
        time.sleep(0.02)
    assert found == list(range(40))
    text = stream.getvalue()
    assert "reading [files]" in text
    assert re.search(r"\d+/40", text)
    assert re.search(r"\d\.\d/s", text)
    assert re.search(r"left 0:00:0\d", re.sub(r"\x1b\[[0-9;]*m", "", text))
    assert "\x1b[2K" in text  # the line is erased


def test_progress_ends_with_an_error_of_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(console, "_err", terminal)
    with pytest.raises(ZeroDivisionError):
        list(progress((1 // number for number in (1, 0)), "dividing", 2))


def test_a_terminal_shows_what_is_being_done_until_it_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(console, "_err", Console(file=stream, force_terminal=True, width=100))
    with activity("reading [lists]") as show:
        time.sleep(0.2)
        show("reading [sizes]")
        time.sleep(0.2)
    assert "reading [lists]" in stream.getvalue()
    assert "reading [sizes]" in stream.getvalue()
    assert "\x1b[2K" in stream.getvalue()  # the line is erased


def test_a_file_has_no_line_of_what_is_being_done(capsys: pytest.CaptureFixture[str]) -> None:
    with activity("reading") as show:
        show("more")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("columns", ["0", "1", "7", "-3", "wide"])
def test_a_table_is_printed_also_where_there_is_no_place_for_it(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    table = Table(show_header=False, expand=True)
    table.add_row("data", "36 images")
    ResultConsole().print(table)
    assert "data" in capsys.readouterr().out
