"""Errors that the user can correct."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EXIT_CODE = 2
REPAIR = "run `thaw repair`, then `dvc repro`"  # for messages about damaged outputs
_SMALL_GROUP = 5  # problems of one kind that are all listed
_OF_LARGE_GROUP = 3  # that are listed of a kind with more
_MOST_KINDS = 30
# The password of an address; one for SQLAlchemy may contain a slash, a port and a path are none
_OF_USER = re.compile(r"(://[^\s:/@]*):(?:[^\s/]*|(?!\d+/)[^\s@]*)@")
_OF_QUERY = re.compile(
    r"([?&](?:ssl)?(?:password|passwd|token|sig|signature|x-amz-[a-z-]+)=)[^\s&'\"]+", re.IGNORECASE
)


class ThawError(Exception):
    """An error that the user can correct; its message says what is wrong, where, and what to do.

    The command line prints it without a traceback and ends with exit code ``EXIT_CODE``. Control
    characters of the message are escaped and passwords of addresses replaced: it may quote a value,
    the name of a file or the error of a server.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


class ProblemsError(ThawError):
    """Several problems that were found in one pass.

    The message has a line for each; of a kind with many, it has some. ``problems`` has all.
    """

    def __init__(self, summary: str, problems: Sequence[str], remedy: str = "") -> None:
        self.problems = list(problems)
        count = f"{len(problems)} problem{'s' * (len(problems) != 1)}"
        lines = [f"{summary} ({count}):", *(f"  - {line}" for line in grouped(self.problems))]
        super().__init__("\n".join([*lines, *([remedy] if remedy else [])]))


def printable(text: str) -> str:
    """Return ``text`` for a terminal.

    Control characters other than line ends are escaped, passwords of addresses replaced.
    """
    text = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    return without_passwords(text)


def without_passwords(text: str) -> str:
    """Return ``text`` with ``***`` in place of each password, token or signature in an address."""
    return _OF_QUERY.sub(r"\1***", _OF_USER.sub(r"\1:***@", text)) if "://" in text else text


def grouped(problems: Iterable[str]) -> list[str]:
    """Return lines for ``problems``, a few of each kind.

    A problem is ``place: reason`` or ``reason: places``; those whose reasons differ in numbers only
    are of one kind.
    """
    problems = list(problems)
    parts = [tuple(map(_without_numbers, each.partition(": ")[::2])) for each in problems]
    counts = Counter(part for pair in parts for part in pair if part)
    kinds: dict[str, list[str]] = defaultdict(list)
    for problem, pair in zip(problems, parts, strict=True):
        kinds[max(reversed(pair), key=counts.__getitem__)].append(problem)
    lines: list[str] = []
    for members in list(kinds.values())[:_MOST_KINDS]:
        if len(members) <= _SMALL_GROUP:
            lines += members
        else:
            lines += members[:_OF_LARGE_GROUP]
            lines.append(f"and {len(members) - _OF_LARGE_GROUP:,} more of this kind")
    if more := list(kinds.values())[_MOST_KINDS:]:
        lines.append(f"and {sum(map(len, more)):,} more of {len(more)} other kinds")
    return lines


def _without_numbers(text: str) -> str:
    return re.sub(r"\d[\d,.]*", "#", text)
