from __future__ import annotations

import pytest

from tests import settings
from thaw.tracking.run_identity import identify
from thaw.tracking.run_lookup import RESULT, find, open_run
from thaw.tracking.store import connect


@pytest.mark.usefixtures("stored")
def test_a_training_continues_an_unfinished_run_and_a_result_finds_its_own() -> None:
    client, experiment = connect(settings.PARAMS.tracking)
    identity = identify(settings.PARAMS, "data")
    assert find(client, experiment, identity.key) is None
    first = open_run(client, experiment, identity)
    again = find(client, experiment, identity.key)
    assert again is not None
    assert again.info.run_id == first.info.run_id
    assert again.info.start_time == identity.started
    done = open_run(client, experiment, identity, "weights")
    assert done.info.run_id == first.info.run_id
    assert client.get_run(done.info.run_id).data.tags[RESULT] == "weights"
    client.set_terminated(done.info.run_id)
    assert find(client, experiment, identity.key) is None
    found = find(client, experiment, identity.key, "weights")
    assert found is not None
    assert found.info.run_id == first.info.run_id
