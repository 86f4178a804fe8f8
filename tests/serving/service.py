"""A running service for tests: under uvicorn, on a port of its own, in a thread."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
import uvicorn

from thaw.serving.app import create_app
from thaw.serving.served_model import load_served_model
from thaw.serving.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running(asked: str, **changes: Any) -> Iterator[str]:
    """The address of a service that answers with ``asked``."""
    settings = Settings(**{"poll": 0.05, **changes})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = create_app(asked, load_served_model(asked, settings), settings)
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=10)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def metric(url: str, name: str) -> float:
    """A value that `/metrics` tells."""
    lines = requests.get(f"{url}/metrics", timeout=10).text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return float(values[name])
