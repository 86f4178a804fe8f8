"""Check that comments, docstrings, messages and documentation are plain technical English.

Usage: ``python -m tools.check_language [PATH ...]``. Prints one line per finding, exits with 1
if there is any. Without paths it checks the whole repository.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
CHECKED = ("src", "tests", "benchmarks", "tools", "docs", "examples", "README.md", "CHANGELOG.md")
SELF = ("tools/check_language.py", "tests/tools/test_check_language.py")

# Phrase -> what to write instead. Keys are regular expressions, matched as whole words.
PHRASES = {
    r"lest": "to avoid",
    r"whence|thither|whither|hither": "from where, to where",
    r"(there|here|where)(of|by|in|upon)": "name the thing that is meant",
    r"for want of": "because there is no",
    r"by whose leave": "approved by",
    r"is of no (use|data)": "is not used",
    r"anew": "again",
    r"nought|naught": "zero, nothing",
    r"upon": "on",
    r"whoever|whosoever": "the process that, the user who",
    r"somebody|nobody": "another process, no process",
    r"lets? (in|through)": "accept, pass",
    r"stands? (here|there|by itself|as it is)": "is",
    r"stands? (on|for) (it|them|that)": "uses, means",
    r"what (all|becomes of|there is)": "name the thing that is meant",
    r"all that (is|are|was|were|has|have|a|an|the)": "everything, all (and a noun)",
    r"told apart": "distinguished",
    r"at leisure|by and by|so to speak|in vain": "leave it out",
    r"reigns?|reigned": "is the champion",
    r"robbed|robs": "replaced",
    r"who (stands|reigns|reads|wrote)": "name the subject",
    r"it with": "name the object",
    r"no more than (this|that)": "only",
    r"gives? (itself|themselves) up": "stops",
    r"nor (does|do|is|are|did|was|were|has|have)": "and ... not",
    r"ere|yonder|amid|amidst|betwixt|hitherto|henceforth": "use a common word",
}

# First words of a summary line that are neither a verb nor a noun phrase.
RIDDLES = re.compile(
    r"(What|Who|Whose|Whoever|Whatever|It|Its|They|Where|Whether|Why|How|That|Those|These|All that"
    r"|Of|By|From|In|On|To|With|Without|For|Nothing|Nobody|None|Never|Or|And|But|Nor|Else)\b"
)

# A summary line of a function starts with a verb; these first words show that it does not.
NO_VERB = re.compile(
    r"(The|A|An|As|At|All|Any|Both|Each|Either|Every|Everything|Few|If|Many|More|Most|No|Not|One"
    r"|Only|Other|Others|Same|Several|So|Some|Such|Than|There|This|True|Two|When|While|Yes)\b"
    r"|[(`\d]"
)

# Test names whose subject is missing, so that they cannot be read alone.
NAMELESS_TEST = re.compile(
    r"test_(it|its|they|their|that|this|those|these|so|nor|and|but|or|else|there|then|such"
    r"|who|whoever|what|whatever|which|where)_"
)


class Finding(NamedTuple):
    """One place to change."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class _Text:
    line: int
    text: str


def check_file(path: Path, name: str) -> list[Finding]:
    """Return the findings of one Python or Markdown file; ``name`` is the path to print."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return _phrases(name, _markdown(source))
    return [*_phrases(name, _prose(source)), *_definitions(name, ast.parse(source))]


def files(paths: list[Path]) -> Iterator[Path]:
    """Yield the tracked Python and Markdown files below ``paths``."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--"]
    listed = subprocess.run(
        [*command, *map(str, paths)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in sorted(set(listed.stdout.split("\0"))):
        path = ROOT / name
        if path.suffix in {".py", ".md"} and path.is_file() and name not in SELF:
            yield path


def main(arguments: list[str]) -> int:
    """Print all findings; return the exit code."""
    paths = [Path(argument).resolve() for argument in arguments]
    found = [
        finding
        for path in files(paths or [ROOT / name for name in CHECKED if (ROOT / name).exists()])
        for finding in check_file(path, str(path.relative_to(ROOT)))
    ]
    for finding in found:
        print(finding)
    if found:
        print(f"{len(found)} findings. The rules are in tools/check_language.py.")
    return bool(found)


def _prose(source: str) -> Iterator[_Text]:
    """Yield comments and strings of Python code."""
    parts = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in parts:
            yield from _lines(token.start[0], token.string)


def _markdown(source: str) -> Iterator[_Text]:
    """Yield the lines outside of code blocks."""
    code = False
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code:
            yield _Text(number, re.sub(r"`[^`]*`", "", line))


def _lines(first: int, text: str) -> Iterator[_Text]:
    for number, line in enumerate(text.splitlines(), first):
        yield _Text(number, line)


def _phrases(name: str, texts: Iterator[_Text]) -> list[Finding]:
    found = []
    for text in texts:
        for phrase, instead in PHRASES.items():
            match = re.search(rf"(?<![\w-])({phrase})(?![\w-])", text.text, re.IGNORECASE)
            if match:
                message = f"unclear phrase {match.group().lower()!r}; write: {instead}"
                found.append(Finding(name, text.line, message))
    return found


def _definitions(name: str, tree: ast.Module) -> list[Finding]:
    """Return findings about summary lines and test names."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        line = getattr(node, "lineno", 1)
        summary = (ast.get_docstring(node) or "").split("\n")[0]
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if RIDDLES.match(summary):
            message = f"summary line must start with a verb or a noun: {summary[:60]!r}"
            found.append(Finding(name, line, message))
        elif function and not _is_attribute(node) and NO_VERB.match(summary):
            message = f"summary line of a function must start with a verb: {summary[:60]!r}"
            found.append(Finding(name, line, message))
        if not isinstance(node, ast.Module) and NAMELESS_TEST.match(node.name):
            message = f"test name has no subject of its own: {node.name}"
            found.append(Finding(name, line, message))
    return found


def _is_attribute(node: ast.AST) -> bool:
    """Return whether a function is a property or a fixture, which a noun phrase describes."""
    decorators = " ".join(map(ast.unparse, getattr(node, "decorator_list", [])))
    return "property" in decorators or "fixture" in decorators


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
