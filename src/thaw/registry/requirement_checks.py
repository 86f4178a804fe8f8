"""MLflow's check of the requirements of a model, without the part that takes a second.

It sets a private variable of ``mlflow.utils.requirements_utils``. Where another version of MLflow
has no such variable, the check is complete.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mlflow.utils import requirements_utils

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGES_BY_MODULE = "_MODULES_TO_PACKAGES"  # None until it is needed


@contextlib.contextmanager
def package_files_unlisted() -> Iterator[None]:
    """Let MLflow compare requirements with what is installed without listing all files of it.

    MLflow reads the list for packages without metadata only; a model of thaw requires none.
    """
    content = vars(requirements_utils)
    if _PACKAGES_BY_MODULE not in content or content[_PACKAGES_BY_MODULE] is not None:
        yield
        return
    content[_PACKAGES_BY_MODULE] = {}
    try:
        yield
    finally:
        content[_PACKAGES_BY_MODULE] = None  # so that others get the whole list
