"""Start MLflow's web interface on the project's store."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.system.launching import ENVIRONMENT
from thaw.system.project_paths import SCRATCH
from thaw.system.sqlite_addresses import is_sqlite, path_of
from thaw.tracking.store import connect, store_uri
from thaw.tracking.store_scope import with_absolute_uri

if TYPE_CHECKING:
    from thaw.config.result_sections import Tracking


def replace_by_ui(tracking: Tracking, port: int) -> None:
    """Replace this process by MLflow's server on the project's store.

    Raises:
        ThawError: the store is a server already.
    """
    uri = store_uri(tracking)
    if uri.startswith("http"):
        raise ThawError(f"the runs are on the MLflow server {uri}: open it in a browser")
    connect(tracking)
    tracking = with_absolute_uri(tracking, Path.cwd())
    uri = store_uri(tracking)
    # Its default of 4 workers and 7 job processes takes 18 s to start and 1.9 GB.
    environment = {**ENVIRONMENT, **os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--backend-store-uri", uri, *options]
    # The server imports modules from the working directory, whatever -P says.
    folder = path_of(uri).parent if is_sqlite(uri) else SCRATCH
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.execvpe(command[0], command, environment)  # noqa: S606
