"""Every command of thaw and every target of make that a page names exists, with its options.

This file reads all pages; test_every_command_is_run.py says which test runs a command.
"""

from __future__ import annotations

import re
import shlex
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import typer

from tests.docs.commands import commands_of
from tests.project import ROOT
from thaw.cli.app import app
from thaw.system.stage_names import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
INLINE = re.compile(r"`((?:thaw|make) [^`\n]+)`")
PLACEHOLDER = re.compile(r"^thaw [A-Z]|-\.\.\.")  # `thaw COMMAND --help`, `make bench-...`
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def ids(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def named(page: Path) -> Iterator[str]:
    """Yield the commands in blocks and in sentences of a page."""
    yield from commands_of(page)
    yield from INLINE.findall(page.read_text(encoding="utf-8"))


@cache
def verbs() -> dict[str, Any]:
    """Return the parser of each verb by its name."""
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def wrong(command: str) -> str:
    """Return what is wrong with a command, "" if it can be parsed."""
    command = re.split(r"\s(?:&&|\|\||[|>&])", command)[0].rstrip(" ;&.")
    command = re.sub(r"\[[^\]]*\]|\.\.\.", "", command)
    words = shlex.split(command)
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        return ", ".join(word for word in targets if word not in TARGETS)
    if len(words) == 1 or words[1].startswith("-"):
        return ""
    verb = verbs().get(words[1])
    if verb is None:
        return f"there is no verb {words[1]}"
    return _unknown_options(verb, words[2:])


def _unknown_options(verb: Any, words: list[str]) -> str:
    known = {name for each in verb.params for name in (*each.opts, *each.secondary_opts)}
    used = {word.partition("=")[0] for word in words if word.startswith("--")}
    return ", ".join(sorted(used - known - {"--help"}))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_the_commands_that_a_page_names_exist(page: Path) -> None:
    commands = [each for each in named(page) if each.startswith(("thaw ", "make "))]
    found = {each: wrong(each) for each in commands if not PLACEHOLDER.search(each)}
    assert not {command: what for command, what in found.items() if what}


def test_a_verb_an_option_and_a_target_that_do_not_exist_are_found() -> None:
    assert wrong("thaw predikt models:/a@champion DIR") == "there is no verb predikt"
    assert wrong("thaw predict models:/a@champion DIR --output x.csv") == "--output"
    assert wrong("make tset") == "tset"
    assert wrong("thaw predict models:/a@champion DIR --out x.csv --json > y.json") == ""
    assert all(wrong(f"thaw stage {stage}") == "" for stage in STAGES)
