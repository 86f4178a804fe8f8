from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import uvicorn

from thaw.serving.server import serve
from thaw.serving.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_uvicorn_gets_the_address_and_time_to_answer_requests_in_progress(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configs: list[uvicorn.Config] = []

    def run(server: uvicorn.Server) -> None:
        configs.append(server.config)
        raise KeyboardInterrupt  # as uvicorn does after the shutdown

    monkeypatch.setattr(uvicorn.Server, "run", run)
    interval = sys.getswitchinterval()
    try:
        serve(str(model), "127.0.0.1", 8123, Settings(timeout=7.0))
    finally:
        sys.setswitchinterval(interval)
    (config,) = configs
    assert (config.host, config.port) == ("127.0.0.1", 8123)
    assert config.timeout_graceful_shutdown == 8
    assert "on http://127.0.0.1:8123" in capsys.readouterr().err
