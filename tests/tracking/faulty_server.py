"""A server that answers every request in one faulty way, in place of MLflow."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from typing import TYPE_CHECKING

from mlflow.server.security_utils import INVALID_HOST_MSG

if TYPE_CHECKING:
    from collections.abc import Iterator

HTML = b"<!doctype html>\n<html><head><title>Log in</title></head><body>Log in</body></html>\n"
_CODES = (401, 403, 404, 429, 500, 502, 503)
_REASON = b'{"error_code": "%s", "message": "as MLflow says it"}'
_MLFLOW = {
    401: b"UNAUTHENTICATED",
    403: b"PERMISSION_DENIED",
    404: b"ENDPOINT_NOT_FOUND",
    429: b"REQUEST_LIMIT_EXCEEDED",
    500: b"INTERNAL_ERROR",
    502: b"BAD_GATEWAY",
    503: b"TEMPORARILY_UNAVAILABLE",
}


def _response(code: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [
        f"HTTP/1.1 {code} X",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _redirect(target: str, code: int = 302) -> bytes:
    return _response(code, b"", f"Location: {target}")


_JSON = "Content-Type: application/json"
# The bytes of the answer to each request; {port} is that of the server.
ANSWERS = {
    **{f"{code} in HTML": _response(code, HTML, "Content-Type: text/html") for code in _CODES},
    **{f"{code} in JSON": _response(code, _REASON % _MLFLOW[code], _JSON) for code in _CODES},
    "403 for its name": _response(403, INVALID_HOST_MSG.encode(), "Content-Type: text/plain"),
    "503 without a body": _response(503, b""),
    "HTML": _response(200, HTML, "Content-Type: text/html"),
    "nothing in the body": _response(200, b"", _JSON),
    "null": _response(200, b"null", _JSON),
    "a list": _response(200, b"[1, 2]", _JSON),
    "a number": _response(200, b"3", _JSON),
    "other types": _response(200, b'{"experiment": 3, "runs": "a", "registered_model": []}', _JSON),
    "JSON cut": _response(200, b'{"experiment": {"experiment_i', _JSON),
    "body cut": _response(200, b'{"experiment": {', _JSON, length=1000),
    "headers cut": b"HTTP/1.1 200 OK\r\nContent-Le",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "bytes": bytes(range(256)),
    "broken gzip": _response(200, b"\x1f\x8b\x08", _JSON, "Content-Encoding: gzip"),
    "not UTF-8": _response(200, b'{"experiment": "\xff\xfe"}', _JSON),
    "redirect to itself": _redirect("http://127.0.0.1:{port}/again"),
    "redirect to https": _redirect("https://127.0.0.1:{port}/", 308),
    "redirect to a closed port": _redirect("http://127.0.0.1:9/login"),
    "redirect to nowhere": _response(302, b""),
    "closed at once": b"",
}
SILENCE = "silence"  # it accepts the connection, and answers nothing


@contextlib.contextmanager
def faulty_server(kind: str) -> Iterator[str]:
    """Yield the address of a server that answers each request as ``kind`` says."""
    ended = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                if kind == SILENCE:
                    ended.wait()
                    return
                if kind != "closed at once":
                    self.request.recv(65536)
                port = str(self.server.server_address[1]).encode()  # type: ignore[index]
                self.request.sendall(ANSWERS[kind].replace(b"{port}", port))

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://ada:open-sesame@127.0.0.1:{server.server_address[1]}"
        finally:
            ended.set()
            server.shutdown()
