from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import settings
from thaw.tracking import spool
from thaw.tracking.delivery import Delivery, deliver_waiting
from thaw.tracking.run_identity import identify
from thaw.tracking.run_lookup import open_run
from thaw.tracking.spool import Spool
from thaw.tracking.store import connect
from thaw.training.history import EpochRow

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from thaw.tracking.spool import Entry

pytestmark = pytest.mark.usefixtures("stored")


def entries(first: int, last: int) -> list[Entry]:
    return [
        spool.epoch_entry("unfreeze", EpochRow(epoch, None, 1.0 + epoch, 0.5, 0.1))
        for epoch in range(first, last + 1)
    ]


def opened() -> tuple[MlflowClient, str, Run]:
    client, experiment = connect(settings.PARAMS.tracking)
    return client, experiment, open_run(client, experiment, identify(settings.PARAMS, "data"))


def steps(client: MlflowClient, run: Run, key: str = "unfreeze/val_loss") -> list[int]:
    return [metric.step for metric in client.get_metric_history(run.info.run_id, key)]


def spooled(data: str, found: list[Entry]) -> None:
    made = Spool(identify(settings.PARAMS, data))
    for entry in found:
        made.add(entry)
    made.close()


def test_entries_are_logged_once_in_their_order_also_by_another_process() -> None:
    client, _, run = opened()
    first = Delivery(client, client.get_run(run.info.run_id))
    first.send(entries(0, 2))
    first.send(entries(1, 3))
    Delivery(client, client.get_run(run.info.run_id)).send(entries(2, 5))
    assert steps(client, run) == [0, 1, 2, 3, 4, 5]


def test_a_request_that_is_repeated_although_the_server_had_done_it_adds_nothing() -> None:
    client, _, run = opened()
    unaware = Delivery(client, client.get_run(run.info.run_id))
    made = [*entries(0, 3), *(spool.system_entry({"cpu": 1.0}) for _ in range(2))]
    Delivery(client, client.get_run(run.info.run_id)).send(made)
    unaware.send(made)
    assert steps(client, run) == [0, 1, 2, 3]
    assert steps(client, run, "system/cpu") == [0, 1]


def test_two_machines_that_opened_the_run_before_its_first_epoch_log_each_epoch_once() -> None:
    client, _, run = opened()
    one, other = (Delivery(client, client.get_run(run.info.run_id)) for _ in range(2))
    for epoch in range(6):
        for time, machine in enumerate([one, other] if epoch % 2 else [other, one]):
            machine.send([entry | {spool.TIME: 10 * epoch + time} for entry in entries(0, epoch)])
    assert steps(client, run) == [0, 1, 2, 3, 4, 5]


def test_metrics_of_the_machine_get_the_next_steps() -> None:
    client, _, run = opened()
    for time in (10, 20):
        made = [{spool.SYSTEM: {"cpu": 1.0}, spool.TIME: time + i} for i in range(3)]
        Delivery(client, client.get_run(run.info.run_id)).send(made)
    assert steps(client, run, "system/cpu") == [0, 1, 2, 3, 4, 5]


def test_the_last_status_is_set() -> None:
    client, _, run = opened()
    Delivery(client, client.get_run(run.info.run_id)).send(
        [{spool.TAGS: {"a": "1"}}, {spool.STATUS: "FAILED"}, {spool.STATUS: "KILLED"}]
    )
    found = client.get_run(run.info.run_id)
    assert (found.info.status, found.data.tags["a"]) == ("KILLED", "1")


def test_files_of_several_trainings_are_delivered_to_their_runs() -> None:
    spooled("data", entries(0, 1))
    spooled("other data", entries(0, 4))
    spooled("data", entries(2, 3))
    assert deliver_waiting(settings.PARAMS.tracking) == 3
    client, experiment = connect(settings.PARAMS.tracking)
    found = {
        run.data.tags["thaw.data_digest"]: steps(client, run)
        for run in client.search_runs([experiment])
    }
    assert found == {"data": [0, 1, 2, 3], "other data": [0, 1, 2, 3, 4]}


def test_epochs_go_to_the_run_that_the_stage_opened_also_if_it_has_ended() -> None:
    client, experiment, run = opened()
    client.set_terminated(run.info.run_id)
    spooled("data", [{spool.RUN: run.info.run_id}, *entries(0, 1)])
    assert deliver_waiting(settings.PARAMS.tracking) == 1
    assert steps(client, run) == [0, 1]
    assert len(client.search_runs([experiment])) == 1


def test_epochs_of_a_deleted_run_make_a_new_one() -> None:
    client, experiment, run = opened()
    client.delete_run(run.info.run_id)
    spooled("data", [{spool.RUN: run.info.run_id}, *entries(0, 1)])
    assert deliver_waiting(settings.PARAMS.tracking) == 1
    (new,) = client.search_runs([experiment])
    assert steps(client, new) == [0, 1]


def test_a_file_whose_experiment_was_deleted_is_named_and_the_others_are_delivered(
    capfd: pytest.CaptureFixture[str],
) -> None:
    tracking = settings.PARAMS.tracking.model_copy(update={"experiment": "gone"})
    client, gone = connect(tracking)
    made = Spool(identify(settings.PARAMS.model_copy(update={"tracking": tracking}), "data"))
    made.close()
    spooled("data", entries(0, 0))
    client.delete_experiment(gone)
    assert deliver_waiting(settings.PARAMS.tracking) == 1
    assert f"{made.path} is not delivered" in capfd.readouterr().err
    assert spool.waiting() == [made.path]
