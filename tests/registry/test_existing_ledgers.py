"""The promotion ledger of a project of thaw 0.1 stays readable and usable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.formats.clone import unpack_clone
from thaw.cli import registry_commands as commands
from thaw.config.result_sections import Tracking
from thaw.promotion.rollback import rollback
from thaw.promotion.status import alias_statuses
from thaw.registry.champion_history import champion_stack
from thaw.registry.ledger import Ledger
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

NAME = "classifier"


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    folder = unpack_clone(tmp_path_factory.mktemp("clone") / "project")
    uri = f"sqlite:///{folder / 'mlruns/mlflow.db'}"
    return Tracking(uri=uri, experiment="thaw", registered_model=NAME, system_metrics_seconds=5.0)


@pytest.fixture
def client(tracking: Tracking) -> MlflowClient:
    found, _ = connect(tracking)
    return found


def test_rows_of_an_existing_ledger_are_read(client: MlflowClient) -> None:
    ledger = Ledger(client, NAME)
    (row,) = ledger.rows()
    decision = row.decision
    assert (row.number, row.state) == (1, "done")
    assert (decision.kind, decision.origin, decision.to, decision.previous) == (
        "promotion",
        1,
        2,
        1,
    )
    assert decision.forced
    assert decision.why.startswith("kept for the tests (")
    assert decision.report.startswith("runs:/98dd18d3cc50431fa70d1febcbf454b4/gate/")
    assert champion_stack(ledger.rows(), ledger.first_by_tag()) == [1, 2]


def test_the_status_of_existing_versions_is_read(client: MlflowClient) -> None:
    champion, previous = alias_statuses(client, NAME)
    assert (champion.alias, champion.version, champion.moved_by_hand) == ("champion", 2, False)
    assert champion.gate == "forced 2026-11-26T21:07: kept for the tests"
    assert champion.metrics["accuracy"] == 1.0
    assert (previous.alias, previous.version, previous.gate) == ("previous", 1, "first, no gate")


def test_status_and_history_print_an_existing_ledger(
    tracking: Tracking, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.status(tracking, NAME)
    commands.history(tracking, NAME, "champion")
    printed = capsys.readouterr().out
    assert "@champion" in printed
    assert "@previous" in printed
    assert "forced" in printed


def test_an_existing_ledger_can_be_continued(client: MlflowClient) -> None:
    ledger = Ledger(client, NAME)
    assert rollback(ledger, "a test").to == 1
    assert [row.decision.kind for row in ledger.rows()] == ["promotion", "rollback"]
    assert ledger.current_version() == 1
    # The condition of MLflow's page of experiments: the row of thaw 0.1 is hidden as well.
    listed = client.search_experiments(filter_string="tags.`mlflow.experiment.isGateway` IS NULL")
    assert {one.name for one in listed} == {"Default", "thaw"}
