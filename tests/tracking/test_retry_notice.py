from __future__ import annotations

import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from mlflow.utils.rest_utils import MlflowHostCreds, http_request

from thaw.tracking.retry_notice import report_repeated_requests

if TYPE_CHECKING:
    from collections.abc import Iterator


class _FailsAtFirst(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.answers += 1  # type: ignore[attr-defined]
        self.send_response(500 if self.server.answers % 2 else 200)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that answers each second request with 200, the others with 500."""
    logger = logging.getLogger("urllib3.connectionpool")
    monkeypatch.setattr(logger, "filters", [])
    monkeypatch.setattr(logger, "level", logger.level)
    running = HTTPServer(("127.0.0.1", 0), _FailsAtFirst)
    running.answers = 0  # type: ignore[attr-defined]
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()
    logger._cache.clear()  # type: ignore[attr-defined]  # of the level


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/2.0/mlflow/runs/get", "answered a request with an error"),
        ("/api/2.0/mlflow-artifacts/artifacts/x", "for files, whose store may be away, with"),
        ("/elsewhere", None),
    ],
)
def test_the_first_request_that_is_repeated_is_reported_once(
    path: str,
    said: str | None,
    server: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        report_repeated_requests()
    for _ in range(2):
        answer = http_request(  # type: ignore[no-untyped-call]
            MlflowHostCreds(server),  # type: ignore[no-untyped-call]
            path,
            "GET",
            max_retries=1,
            backoff_factor=0,
        )
        assert answer.status_code == 200
    output = capfd.readouterr()
    assert output.err.count("waiting to repeat it") == (0 if said is None else 1)
    assert (said or "") in output.err
    assert output.out == ""
    assert caplog.records == [], "lines for debugging go nowhere"
