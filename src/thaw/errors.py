"""Errors that the user can correct."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CODE = 2


class ThawError(Exception):
    """An error that the user can correct; its message says what is wrong, where, and what to do.

    The command line prints it without a traceback and ends with exit code ``EXIT_CODE``.
    """


class ProblemsError(ThawError):
    """Several problems that were found in one pass, listed with one line each."""

    def __init__(self, summary: str, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        count = f"{len(problems)} problem{'s' * (len(problems) != 1)}"
        super().__init__(
            "\n".join([f"{summary} ({count}):", *(f"  - {problem}" for problem in self.problems)])
        )
