"""The S3 server of moto, some of whose answers are errors.

Started by `python -m tools.services.s3_server PORT`.

`PUT /_faults/0.3` makes it answer 500 to 30 % of the requests, in a random order that is the same
in each process.
"""

from __future__ import annotations

import random
import sys
import threading
from typing import TYPE_CHECKING, Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

from tools.services.server_process import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FAULTS = "/_faults/"
_ERROR = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"""

Environ = dict[str, Any]


class FaultyApplication:
    """A WSGI application that answers 500 to a part of the requests, and counts these answers."""

    def __init__(self, application: Callable[[Environ, Any], Iterable[bytes]]) -> None:
        """Pass requests on to ``application``; at first all of them."""
        self._application = application
        self._random = random.Random(0)
        self._lock = threading.Lock()
        self._rate = 0.0

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        path = str(environ["PATH_INFO"])
        if path.startswith(FAULTS):
            self._rate = float(path.removeprefix(FAULTS))
            start_response("200 OK", [("Content-Length", "0")])
            return [b""]
        with self._lock:
            is_fault = self._random.random() < self._rate
        if not is_fault:
            return self._application(environ, start_response)
        # The next request on this connection begins after the body of this one.
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(_ERROR)))]
        start_response("500 Internal Server Error", headers)
        return [_ERROR]


def main() -> None:
    """Serve until a signal ends the process."""
    application = FaultyApplication(DomainDispatcherApplication(create_backend_app))
    run_simple(HOST, int(sys.argv[1]), application, threaded=True)


if __name__ == "__main__":
    main()
