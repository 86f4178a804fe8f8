from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from benchmarks.gpu.clients import ask, form


class _Every2nd(BaseHTTPRequestHandler):
    """Answer every second request with an error."""

    count = 0

    def do_POST(self) -> None:
        type(self).count += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if self.count % 2 else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.mark.slow
def test_answers_and_errors_are_counted() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Every2nd)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    latencies, errors = ask(server.server_port, form(2), 1)
    server.shutdown()
    assert abs(len(latencies) - errors) <= 1
    assert 0 < sum(latencies) <= 1


def test_a_form_has_as_many_files_as_images() -> None:
    assert form(3).count(b"filename=") == 3
