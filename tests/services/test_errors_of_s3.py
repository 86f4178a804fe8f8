from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.services.registrations import Registrations

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.servers import Servers

pytestmark = pytest.mark.services

_MODELS = 5


@pytest.fixture
def registrations(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Registrations:
    for name, value in servers.variables.items():
        monkeypatch.setenv(name, value)
    return Registrations(tmp_path / "project", "faulty")


def test_registrations_are_whole_although_s3_answers_500_to_a_third_of_the_requests(
    servers: Servers, registrations: Registrations, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as once, servers.store.faults(1.0):
        once.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        assert not registrations.register(0)
        assert registrations.count() == 0, "nothing is registered by half"
    with servers.store.faults(0.3):
        for number in range(_MODELS):
            assert any(registrations.register(number) for _ in range(3))
    assert registrations.count() == _MODELS
    assert registrations.incomplete() == []
