from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.services import colleague
from tests.services.outage import train_through_outage
from tests.services.secret_search import places_of_secrets

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.servers import Servers

pytestmark = pytest.mark.services

_SECONDS = 60.0
_STALL = 1.0  # seconds in which the thread that trains waits for something but a processor


def test_a_server_that_is_killed_for_a_minute_loses_no_point_and_stops_no_training(
    servers: Servers, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in servers.variables.items():
        monkeypatch.setenv(name, value)
    project = colleague.new_project(tmp_path / "colours", photos, servers.variables)
    project.set(backbone__name="lenet5", backbone__weights="none", tracking__experiment="away")
    project.commit("small")
    outage = train_through_outage(project, servers.mlflow, _SECONDS)
    print(outage)
    assert outage.seconds == _SECONDS, "the training ended before the server was back"
    assert (outage.missing, outage.wrong) == (0, 0)
    assert outage.longest_stall < outage.usual_stall + _STALL
    assert places_of_secrets(servers, [project]) == []
