"""The test split on which the gate scores, checked before any model is loaded."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from thaw.data.prepared import Prepared
from thaw.errors import REPAIR, ThawError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def open_test_split(prepared: Path) -> Prepared:
    """Return the prepared data in the folder ``prepared``.

    Raises:
        ThawError: there is none, it is damaged, or it has no test images, or those of one class.
    """
    with damage_as_error(prepared):
        data = Prepared(prepared)
        ids = np.array([row.id for row in data.manifest.rows])
        fits = len(data.store) == len(ids) and np.array_equal(ids, np.arange(len(ids)))
    if not fits:
        raise ThawError(
            f"{prepared} is damaged (its manifest and its images do not belong together): {REPAIR}"
        )
    test = data.manifest.ids("test")
    if len(set(data.manifest.targets[test].tolist())) == 1 and len(data.manifest.classes) > 1:
        only = data.manifest.rows[test[0]].label
        raise ThawError(
            f"all test images of {prepared} are of the class {only}, so that any constant answer "
            "would pass: add test images of the other classes, then `dvc repro`"
        )
    if not len(test):
        raise ThawError(
            f"{prepared} has no test images, and the gate scores on them: add images, or raise "
            "prepare.test_fraction in params.yaml, then `dvc repro`"
        )
    return data


@contextmanager
def damage_as_error(prepared: Path) -> Iterator[None]:
    """Raise ThawError with one line if the body cannot read the prepared data.

    Raises:
        ThawError: the body raised an error.
    """
    try:
        yield
    except ThawError:
        raise
    except Exception as error:  # readers of images, CSV and arrays raise many errors
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ThawError(f"{prepared} is damaged ({reason}): {REPAIR}") from error
