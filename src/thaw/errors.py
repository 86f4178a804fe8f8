"""What a user did wrong, said in a line a person can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CODE = 2


class ThawError(Exception):
    """A user's mistake: says what is wrong, where, and what to do.

    It is printed without a traceback and ends the process with exit code 2.
    """


class ProblemsError(ThawError):
    """Several mistakes, found in one pass and listed together, a line each."""

    def __init__(self, summary: str, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        count = f"{len(problems)} problem{'s' * (len(problems) != 1)}"
        super().__init__(
            "\n".join([f"{summary} ({count}):", *(f"  - {problem}" for problem in self.problems)])
        )
