"""Tests of the tab itself: each address is loaded, and a failed wait says why."""

from __future__ import annotations

import os
import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.serving.browser import Page

pytestmark = pytest.mark.browser


def test_an_address_that_differs_after_the_hash_alone_is_loaded_again(
    page: Page, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text("<title>page</title>")
    page.open(f"{path.as_uri()}#first", 400, 400)
    page.evaluate("window.first = true")
    page.open(f"{path.as_uri()}#second", 400, 400)
    assert page.evaluate("location.hash") == "#second"
    assert page.evaluate("window.first") is None


def test_the_script_of_a_worker_is_no_request_without_an_answer(page: Page, tmp_path: Path) -> None:
    """Load it twice: the browser does not tell a tab that it takes the script from its cache."""
    (tmp_path / "page.html").write_text("<script>new Worker('worker.js').onmessage = event => {"
                                        "window.told = event.data }</script>")  # fmt: skip
    (tmp_path / "worker.js").write_text("postMessage('from the worker')")
    os.utime(tmp_path / "worker.js", (1, 1))  # a file that is old is kept in the cache
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for _ in range(2):
            page.open(f"http://127.0.0.1:{server.server_port}/page.html", 400, 400)
            assert page.wait("window.told") == "from the worker"
            with pytest.raises(AssertionError) as caught:
                page.wait("false", 0.2)
            assert "worker.js" not in str(caught.value)
        server.shutdown()


def test_a_condition_that_stays_false_names_errors_and_requests_without_an_answer(
    page: Page, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/part.js"
        path = tmp_path / "page.html"
        path.write_text(
            f"<script>fetch('{address}'); setTimeout(() => {{ throw Error('no part') }})</script>"
        )
        page.open(path.as_uri(), 400, 400)
        with pytest.raises(AssertionError) as caught:
            page.wait("false", 2)
    assert f"no answer yet: ['{address}']" in str(caught.value)
    assert "Error: no part" in str(caught.value)
