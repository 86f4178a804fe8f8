"""Every documented command is run by a test, or stands in tests/docs/not_run.py with its reason.

The commands are those in blocks, and those with arguments in sentences and tables.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.docs import not_run, sentences
from tests.docs.commands import (
    blocks_of,
    blocks_to_run,
    commands_in,
    python_of,
    sentences_of,
)
from tests.docs.test_commands_of_all_pages import PAGES, verbs
from tests.docs.test_documented_commands import ELSEWHERE
from tests.project import ROOT

# Pages that tell what was measured, found or changed. They ask the reader to type nothing.
RECORDS = {
    "CHANGELOG.md", "docs/benchmarks.md", "docs/measured_choices.md", "docs/reliability.md",
}  # fmt: skip
OF_README = "test_documented_commands.py"
ON_ONE_PROJECT = "test_commands_on_one_project.py"
# The test file that runs all blocks of a page.
RUN = {
    "README.md": OF_README,
    "docs/tutorial.md": OF_README,
    "docs/how-to/scripts.md": OF_README,
    "docs/deployment.md": ON_ONE_PROJECT,
    "docs/how-to/own-images.md": ON_ONE_PROJECT,
    "docs/how-to/public-sets.md": ON_ONE_PROJECT,
    "docs/questions.md": ON_ONE_PROJECT,
    "docs/registry.md": ON_ONE_PROJECT,
    "docs/servers.md": ON_ONE_PROJECT,
    "docs/serving.md": ON_ONE_PROJECT,
}
# The same for programs in Python.
PROGRAMS = {
    "README.md": OF_README,
    "docs/how-to/public-sets.md": ON_ONE_PROJECT,
    "docs/serving.md": ON_ONE_PROJECT,
}
NAMES = [name for page in PAGES if (name := page.relative_to(ROOT).as_posix()) not in RECORDS]


@cache
def commands_that_run() -> list[str]:
    """Return the commands of blocks, and those of sentences, that tests run."""
    found = [
        command
        for page in RUN
        for block in blocks_to_run(page)
        for command in commands_in(f"```bash\n{block}```\n")
        if not (RUN[page] == OF_README and command.startswith(tuple(ELSEWHERE)))
    ]
    return [*found, *sentences.COMMANDS, *sentences.COMMANDS.values(), *sentences.BY_TESTS]


def is_accounted(sentence: str) -> bool:
    """Return whether a command is run, is the beginning of one that is, or is in the list."""
    if not_run.is_sentence_listed(sentence):
        return True
    return any(each == sentence or each.startswith(f"{sentence} ") for each in commands_that_run())


@pytest.mark.parametrize("name", NAMES)
def test_each_command_of_a_page_is_run_or_has_a_reason(name: str) -> None:
    page = ROOT / name
    blocks = [] if name in RUN else blocks_of(page)
    assert [block for block in blocks if not not_run.is_listed(name, block)] == []
    programs = [] if name in PROGRAMS else python_of(page)
    assert [each for each in programs if not is_listed_program(name, each)] == []
    assert [each for each in sentences_of(page) if not is_accounted(each)] == []


def is_listed_program(name: str, program: str) -> bool:
    return any(name == page and program.startswith(first) for page, first in not_run.PYTHON_BLOCKS)


@pytest.mark.parametrize("name", [*RUN, *PROGRAMS])
def test_the_file_that_runs_a_page_names_it(name: str) -> None:
    file = RUN.get(name) or PROGRAMS[name]
    assert f'"{name}"' in (Path(__file__).parent / file).read_text(encoding="utf-8")


def test_each_entry_of_the_lists_stands_in_a_page() -> None:
    blocks = [(name, block) for name in NAMES for block in blocks_of(ROOT / name)]
    for entry in not_run.BLOCKS:
        found = [block for name, block in blocks if name == entry.page and entry.is_of(block)]
        assert len(found) == 1, entry
    for name, first in not_run.PYTHON_BLOCKS:
        assert any(each.startswith(first) for each in python_of(ROOT / name)), first
    lines = [line for _, block in blocks for line in block.splitlines()]
    assert all(any(line.startswith(start) for line in lines) for start in not_run.LINES)
    found = [each for name in NAMES for each in sentences_of(ROOT / name)]
    listed = {*sentences.COMMANDS, *sentences.BY_TESTS}
    assert listed - set(found) == set()
    unused = [start for start in not_run.SENTENCES if not any(e.startswith(start) for e in found)]
    assert unused == []


def test_each_verb_is_run() -> None:
    run = {command.split()[1] for command in commands_that_run() if command.startswith("thaw ")}
    assert set(verbs()) - run == set()


def test_each_target_that_counts_as_a_step_of_the_ci_is_one() -> None:
    steps = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    of_ci = [each for each, reason in not_run.SENTENCES.items() if reason == not_run.CI]
    assert "make check" in of_ci
    assert set(of_ci) <= set(steps)
    (target,) = re.findall(r"^check:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.M)
    parts = [each for each, reason in not_run.SENTENCES.items() if reason == not_run.CHECK]
    assert parts
    assert all(each in target for each in parts)


def test_make_help_lists_all_targets() -> None:
    # Without the options of a `make test` around it, which prints the folder that it enters.
    command = ["make", "--no-print-directory", "help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (targets,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert {line.split()[0] for line in done.stdout.splitlines()} == set(targets.split())


@pytest.mark.parametrize("new", ["make release", "make check-all", "... --new 3", "dvc add-all"])
def test_an_entry_of_the_list_is_no_reason_for_another_command(new: str) -> None:
    assert not is_accounted(new)


def test_a_command_that_is_neither_run_nor_listed_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Type `thaw report --new`.\n\n```bash\nthaw new\n```\n")
    assert [each for each in sentences_of(page) if not is_accounted(each)] == ["thaw report --new"]
    (block,) = blocks_of(page)
    assert not not_run.is_listed("docs/deployment.md", block)
    entry = not_run.BLOCKS[0]
    assert not entry.is_of(f"{entry.first}\n" * (entry.lines + 1))
