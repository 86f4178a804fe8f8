from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.check_language import check_file

if TYPE_CHECKING:
    from pathlib import Path


def messages(tmp_path: Path, source: str, name: str = "module.py") -> list[str]:
    path = tmp_path / name
    path.write_text(source)
    return [finding.message for finding in check_file(path, name)]


@pytest.mark.parametrize(
    "source",
    [
        "# Locked lest two processes write.\n",
        'raise ValueError("the run is made anew")\n',
        'name = 1\nraise ValueError(f"{name} is of no use")\n',
        '"""Module.\n\nMore text, for want of data.\n"""\n',
    ],
    ids=["comment", "message", "formatted message", "docstring"],
)
def test_an_unclear_phrase_is_found_in_any_text(tmp_path: Path, source: str) -> None:
    (message,) = messages(tmp_path, source)
    assert "unclear phrase" in message


def test_a_finding_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("x = 1\n\n# written anew\n")
    (finding,) = check_file(path, "src/module.py")
    assert str(finding).startswith("src/module.py:3: ")


def test_names_in_code_are_not_text(tmp_path: Path) -> None:
    assert not messages(tmp_path, "anew = lest = 1\n")


def test_a_word_that_contains_a_listed_word_is_accepted(tmp_path: Path) -> None:
    assert not messages(tmp_path, "# therefore the latest renewal\n")


@pytest.mark.parametrize("summary", ["What trains.", "Who has it.", "It in two parts."])
def test_a_summary_line_that_is_a_riddle_is_found(tmp_path: Path, summary: str) -> None:
    (message,) = messages(tmp_path, f'class Plan:\n    """{summary}"""\n')
    assert "summary line" in message


def test_the_summary_line_of_a_function_must_start_with_a_verb(tmp_path: Path) -> None:
    (message,) = messages(tmp_path, 'def mean():\n    """The mean of all."""\n')
    assert "start with a verb" in message
    assert not messages(tmp_path, 'def mean():\n    """Return the mean of all."""\n')


@pytest.mark.parametrize("decorator", ["property", "cached_property", "pytest.fixture"])
def test_a_noun_phrase_describes_a_property_or_a_fixture(tmp_path: Path, decorator: str) -> None:
    assert not messages(tmp_path, f'@{decorator}\ndef mean():\n    """The mean of all."""\n')


def test_a_test_name_without_a_subject_is_found(tmp_path: Path) -> None:
    (message,) = messages(tmp_path, "def test_it_is_refused(): ...\n")
    assert "test name" in message


def test_code_in_markdown_is_not_text(tmp_path: Path) -> None:
    text = "Plain text with `lest` as code.\n\n```\nwritten anew\n```\n"
    assert not messages(tmp_path, text, "page.md")
    assert messages(tmp_path, text + "\nwritten anew\n", "page.md")
