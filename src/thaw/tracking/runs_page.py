"""MLflow's page of the runs of an experiment: its address, and the columns that it shows first."""

from __future__ import annotations

import json
from urllib.parse import urlsplit, urlunsplit

from thaw.tracking.run_identity import CHANGED, EXPERIMENT_OF_DVC

_VIEW = "thaw"
_COLUMNS = (
    "metrics.`test/accuracy`",
    "metrics.`test/log_loss`",
    f"tags.`{CHANGED}`",
    f"tags.`{EXPERIMENT_OF_DVC}`",
    "attributes.`Models`",
)
# A shared view of MLflow's pages is a tag of the experiment: what its button "Share" writes.
VIEW_TAG = f"mlflow.sharedViewState.{_VIEW}"
VIEW = json.dumps(
    {
        "selectedColumns": _COLUMNS,
        "columnOrder": _COLUMNS,
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
    }
)


def address_of_runs(server: str, experiment_id: str) -> str:
    """Return the address of the experiment's runs on ``server``, without its user and password.

    MLflow's home page is the one for generative AI.
    """
    view = f"workflowType=machine_learning&viewStateShareKey={_VIEW}"
    return address_on(server, f"#/experiments/{experiment_id}/runs?{view}")


def address_on(server: str, page: str) -> str:
    """Return the address of ``page`` of MLflow on ``server``, without its user and password."""
    parts = urlsplit(server)
    host = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return f"{host.rstrip('/')}/{page}"
