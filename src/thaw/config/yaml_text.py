"""Values as YAML text, and places in a text: line ends, comments, indentation."""

from __future__ import annotations

import io
import re
from decimal import Decimal
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_BLANK = re.compile(r"(?:\s|#[^\r\n]*)*")  # where a value was skipped: white space and comments
_COMMENT = re.compile(r"( +)#")
_QUOTED = {"'": SingleQuotedScalarString, '"': DoubleQuotedScalarString}


class _Representer(RoundTripRepresenter):  # type: ignore[misc]
    """Writes every digit of a number: other YAML readers take ``1e-05`` for a string."""

    def represent_plain_float(self, value: float) -> Any:
        text = format(Decimal(repr(value)), "f")
        return self.represent_scalar(
            "tag:yaml.org,2002:float", text if "." in text else f"{text}.0"
        )


_Representer.add_representer(float, _Representer.represent_plain_float)


def flow_text(value: Any, quote: str = "") -> str:
    """Return ``value`` on one line, lists and mappings in brackets.

    Text is put into the quotation marks ``quote``. If ``quote`` is empty, only text that YAML would
    read as another value is quoted.
    """
    if isinstance(value, list | dict):
        return _dumped(_styled(value, quote, is_flow=True)).strip()
    node = CommentedSeq([_styled(value, quote, is_flow=True)])
    node.fa.set_flow_style()
    return _dumped(node).strip()[1:-1]


def block_lines(name: str, value: Any, step: int, offset: int) -> list[str]:
    """Return the lines of the entry ``name: value``, lists and mappings in block form.

    Empty ones are in brackets. ``step`` is the indentation of a mapping in its key, ``offset``
    that of the dashes of a list.
    """
    document = CommentedMap({name: _styled(value, "", is_flow=False)})
    return _dumped(document, step, offset).splitlines()


def line_break(text: str) -> str:
    """Return the first line break in ``text``."""
    found = _LINE_BREAK.search(text)
    return found.group() if found else "\n"


def line_end(text: str, place: int) -> int:
    """Return the place of the line break after ``place``, or the end of the text."""
    found = _LINE_BREAK.search(text, place)
    return found.start() if found else len(text)


def next_line(text: str, place: int) -> int:
    """Return the start of the line after that of ``place``, or the end of the text."""
    found = _LINE_BREAK.search(text, place)
    return found.end() if found else len(text)


def line_start(text: str, place: int) -> int:
    """Return the start of the line of ``place``."""
    return max(text.rfind("\n", 0, place), text.rfind("\r", 0, place)) + 1


def column(text: str, place: int) -> int:
    """Return how many characters are before ``place`` in its line."""
    start = line_start(text, place)
    return place - start - text.startswith("\ufeff", start)


def entry_start(text: str, key: int) -> int:
    """Return the place at which the entry starts whose key is at ``key``: that of its ``?``."""
    before = text[line_start(text, key) : key].rstrip()
    return line_start(text, key) + len(before) - 1 if before.endswith("?") else key


def after_entry(text: str, place: int, column: int) -> int:
    """Return the start of the line after the entry that ends at ``place``.

    The comment lines that follow and are indented by more than ``column`` belong to the entry.
    """
    end = next_line(text, place)
    while end < len(text):
        line = text[end : line_end(text, end)]
        if not line.lstrip().startswith("#") or len(line) - len(line.lstrip()) <= column:
            break
        end = next_line(text, end)
    return end


def skip_blank(text: str, place: int) -> int:
    """Return the place of the next character after white space and comments."""
    found = _BLANK.match(text, place)
    return found.end() if found else place


def replaced(text: str, start: int, end: int, new: str) -> str:
    """Return ``text`` with another content from ``start`` to ``end``.

    A comment behind it on the line stays in its column, if the content leaves room for it.
    """
    comment = _COMMENT.match(text, end)
    if comment is None or any(_LINE_BREAK.search(part) for part in (text[start:end], new)):
        return text[:start] + new + text[end:]
    gap = max(1, len(comment.group(1)) + (end - start) - len(new))
    return text[:start] + new + " " * gap + text[comment.end(1) :]


def _styled(value: Any, quote: str, *, is_flow: bool) -> Any:
    if isinstance(value, str):
        return _QUOTED[quote](value) if quote else value
    if isinstance(value, list):
        node = CommentedSeq(_styled(item, quote, is_flow=is_flow) for item in value)
    elif isinstance(value, dict):
        node = CommentedMap(
            {
                _styled(key, quote, is_flow=is_flow): _styled(item, quote, is_flow=is_flow)
                for key, item in value.items()
            }
        )
    else:
        return value
    if is_flow or not value:
        node.fa.set_flow_style()
    return node


def _dumped(node: Any, step: int = 2, offset: int = 0) -> str:
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = 1_000_000  # never wrap a line
    yaml.indent(mapping=step, sequence=offset + 2, offset=offset)
    stream = io.StringIO()
    yaml.dump(node, stream)
    return stream.getvalue()
