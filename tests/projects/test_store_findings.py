from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests import settings
from thaw.projects.finding import State
from thaw.projects.store_findings import store_findings
from thaw.system.project_paths import SPOOL
from thaw.tracking.run_owner import PROCESS, this_process
from thaw.tracking.store import connect, connect_read_only
from thaw.tracking.store_scope import unchanged_store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from mlflow.tracking import MlflowClient

    from thaw.config.result_sections import Tracking

TRACKING = settings.PARAMS.tracking


def test_a_waiting_file_is_a_warning_only_where_no_stage_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with unchanged_store():
        client, experiment = connect(TRACKING)
        SPOOL.mkdir(parents=True)
        (SPOOL / f"{'0' * 32}.jsonl").write_text("{}\n")
        run = client.create_run(experiment, tags={PROCESS: this_process()})
        found = {each.subject: each for each in store_findings(TRACKING)}["spool"]
        assert (found.state, found.remedy) == (State.OK, "")
        client.set_terminated(run.info.run_id)
        found = {each.subject: each for each in store_findings(TRACKING)}["spool"]
        assert (found.state, found.remedy) == (State.WARNING, "`thaw repair` delivers them")


def test_a_result_that_the_store_does_not_have_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "reports/evaluate"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text('{"test": {"accuracy": 0.9}}')
    run_id = "81ac1a6dc6874a6b8fee491c4286a135"
    registered = {"run_id": run_id, "name": "project", "version": 1}
    (folder / "registered.json").write_text(json.dumps(registered))
    opened: list[Tracking] = []

    def connected(tracking: Tracking) -> MlflowClient:
        opened.append(tracking)
        return connect_read_only(tracking)

    monkeypatch.setattr("thaw.tracking.store_state.connect_read_only", connected)
    with unchanged_store():
        connect(TRACKING)
        found = list(store_findings(TRACKING))[-1]
    assert len(opened) == 1
    assert (found.subject, found.state) == ("result", State.WARNING)
    assert run_id in found.text
    assert "dvc repro --single-item --force evaluate" in found.remedy
    (folder / "registered.json").write_text("{")
    assert list(store_findings(TRACKING))[-1].state is State.ERROR
