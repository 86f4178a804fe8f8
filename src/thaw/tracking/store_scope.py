"""Use the store of any project, without a change of MLflow's global settings."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import mlflow

from thaw.system.project_paths import STORE
from thaw.system.sqlite_addresses import address_of, is_sqlite, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thaw.config.result_sections import Tracking

_VARIABLE = "MLFLOW_TRACKING_URI"
_DEFAULT_STORE = STORE / "mlflow.db"


def with_absolute_uri(tracking: Tracking, folder: Path) -> Tracking:
    """Return ``tracking`` with the URI that it means in the project ``folder``, made absolute."""
    uri = tracking.uri or os.environ.get(_VARIABLE, "") or address_of(_DEFAULT_STORE)
    if is_sqlite(uri):
        options = uri.partition("?")[1:]
        uri = "".join([address_of(folder / path_of(uri)), *options])
    return tracking.model_copy(update={"uri": uri})


@contextmanager
def unchanged_store() -> Iterator[None]:
    """Restore MLflow's tracking URI afterwards, in this process and for its children.

    ``mlflow.set_tracking_uri`` also sets an environment variable. A stage of another project that
    is started later would read it, and log to the wrong store.
    """
    variable = os.environ.get(_VARIABLE)
    is_set = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]
    before = mlflow.get_tracking_uri() if is_set else None
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None: not set
        if variable is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = variable
