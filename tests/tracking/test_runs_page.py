from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests import settings
from thaw.tracking.runs_page import VIEW_TAG, address_of_runs, address_on
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "/#/experiments/3/runs?workflowType=machine_learning&viewStateShareKey=thaw"


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://mlflow.example.org/team/", "https://mlflow.example.org/team"),
        ("https://ann:secret@mlflow.example.org", "https://mlflow.example.org"),
    ],
)
def test_the_address_leads_to_the_runs_and_names_no_password(server: str, shown: str) -> None:
    assert address_of_runs(server, "3") == shown + PAGE


def test_the_address_of_a_page_names_no_password() -> None:
    address = address_on("https://ann:secret@mlflow.example.org/team/", "#/models/flowers")
    assert address == "https://mlflow.example.org/team/#/models/flowers"


def test_a_new_experiment_shows_scores_and_changed_values_first(stored: Path) -> None:
    client, experiment = connect(settings.PARAMS.tracking)
    view = json.loads(client.get_experiment(experiment).tags[VIEW_TAG])
    assert view["selectedColumns"][:3] == [
        "metrics.`test/accuracy`",
        "metrics.`test/log_loss`",
        "tags.`thaw.changed`",
    ]
