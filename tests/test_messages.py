"""Every error of the commands and of the data's checks says what to do."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDERS = ("cli", "ingest", "stages", "projects", "search", "promotion", "serving")
# A command in backticks, an option, or a verb that tells the reader to do something.
REMEDY = re.compile(
    r"`|--\w|pip install|did you mean|must be|known are|continues|chooses|"
    r"\b(set|give|remove|delete|rename|run|move|write|lower|raise|add|call|put|make|save|restore|"
    r"choose|correct|export|keep|repair|check|train|free|look|leave|copy|unpack|wait|use|change|"
    r"name|report|read|higher)\b",
    re.IGNORECASE,
)
ELSEWHERE = re.compile(
    "remedy|hint|consequence|problem|write_failure|REPAIR"
)  # names of what ends a message
WORDS = re.compile(r"[a-z]{2} [a-z]{2,} [a-z]{2}")


def raised() -> Iterator[tuple[str, str]]:
    """Yield place and text of each error whose message stands where it is raised."""
    for folder in FOLDERS:
        for path in sorted((ROOT / "src/thaw" / folder).rglob("*.py")):
            place = path.relative_to(ROOT / "src/thaw").as_posix()
            for line, parts in _messages(path):
                texts = [each.value for each in parts if isinstance(each, ast.Constant)]
                names = [each.id for each in parts if isinstance(each, ast.Name)]
                text = " ".join(each for each in texts if isinstance(each, str))
                # Else the message, or its end, is made elsewhere.
                if WORDS.search(text) and not any(map(ELSEWHERE.search, names)):
                    yield f"{place}:{line}", text


def _messages(path: Path) -> Iterator[tuple[int, list[ast.AST]]]:
    """Yield line and parts of each message in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        call = node.exc if isinstance(node, ast.Raise) else None
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "ThawError":
            yield call.lineno, [part for each in call.args for part in ast.walk(each)]


def test_the_search_finds_many_messages() -> None:
    assert len(list(raised())) > 80


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_error_says_what_to_do(folder: str) -> None:
    without = [
        f"{place}: {text}"
        for place, text in raised()
        if place.startswith(f"{folder}/") and not REMEDY.search(text)
    ]
    assert not without, "\n".join(without)
