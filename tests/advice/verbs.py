"""Run a verb in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thaw.cli.app import app
from thaw.config.loading import load
from thaw.config.params import Params

if TYPE_CHECKING:
    import pytest


def thaw(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the output of the verb."""
    app(list(arguments), standalone_mode=False)
    return capsys.readouterr().out


def params() -> dict[str, Any]:
    """Return the values of params.yaml in the working directory."""
    return load(Params).model_dump()
