from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest
import uvicorn

from thaw.errors import ThawError
from thaw.serving.server import serve
from thaw.serving.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_uvicorn_gets_the_address_and_time_to_answer_requests_in_progress(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configs: list[uvicorn.Config] = []

    addresses: list[tuple[str, int]] = []

    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        configs.append(server.config)
        addresses.extend(each.getsockname() for each in sockets)
        sockets[0].close()
        raise KeyboardInterrupt  # as uvicorn does after the shutdown

    monkeypatch.setattr(uvicorn.Server, "run", run)
    interval = sys.getswitchinterval()
    try:
        serve(str(model), "127.0.0.1", 0, Settings(timeout=7.0))
    finally:
        sys.setswitchinterval(interval)
    (config,) = configs
    assert config.timeout_graceful_shutdown == 8
    ((host, port),) = addresses
    assert f"on http://{host}:{port}" in capsys.readouterr().err


def test_a_busy_port_is_found_before_the_model_is_loaded_and_no_address_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ThawError, match=f"--port {port}: Address already in use"):
            serve(str(tmp_path / "no model"), "127.0.0.1", port, Settings())
    assert "http://" not in capsys.readouterr().err
