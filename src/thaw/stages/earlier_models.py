"""Read the model that an earlier stage wrote; errors name the command that repairs it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from thaw.errors import REPAIR, ThawError
from thaw.model import directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec


def read_spec(folder: Path) -> ModelSpec:
    """Return the spec of the model in ``folder``, an output of a stage.

    Raises:
        ThawError: it is missing or damaged.
    """
    with _repairable():
        return directory.read_spec(folder)


def load(folder: Path) -> tuple[Classifier, ModelSpec]:
    """Return the model in ``folder``, an output of a stage; files of the user in it are ignored.

    Raises:
        ThawError: it is missing or damaged.
    """
    with _repairable():
        return directory.load(folder, allow_others=True)


@contextlib.contextmanager
def _repairable() -> Iterator[None]:
    try:
        yield
    except ThawError as error:
        raise ThawError(f"{error}; {REPAIR}") from None
