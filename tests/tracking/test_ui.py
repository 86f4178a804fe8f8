from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests import settings
from thaw.errors import ThawError
from thaw.tracking.store import connect
from thaw.tracking.ui import replace_by_ui

if TYPE_CHECKING:
    from pathlib import Path


def test_a_remote_store_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(ThawError, match=r"http://127\.0\.0\.1:9 cannot be used.*refused"):
        replace_by_ui(settings.PARAMS.tracking, 5000)


def test_a_port_that_is_in_use_is_one_line_with_another_one(stored: Path) -> None:
    connect(settings.PARAMS.tracking)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ThawError, match=rf"--port {port}: .*`thaw ui --port {port + 1}`"):
            replace_by_ui(settings.PARAMS.tracking, port)
