"""Run verbs of the command line in this process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from typer import main, testing
from typer.testing import CliRunner

from thaw.cli.app import app
from thaw.errors import ThawError

if TYPE_CHECKING:
    from pathlib import Path

# It would build all commands again for each call, in 13 ms.
vars(testing)["_get_command"] = cache(main.get_command)


def run(*arguments: str) -> str:
    """Return what the verb prints; it must succeed."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def error(*arguments: str) -> str:
    """Return the message of the error that the verb must end with."""
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ThawError), result.output
    return str(result.exception)


def edit(path: Path, old: str, new: str) -> None:
    """Replace ``old``, which must be there, in a file."""
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
