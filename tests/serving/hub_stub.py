"""A local server with the part of the Hugging Face hub's API that an upload uses."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Hub:
    """The address of the server, the repositories that were created, and the uploaded files."""

    address: str = ""
    created: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    refuses: bool = False

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        """Return the answer to a request that changes something."""
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return {"url": f"{self.address}/owner/{self.created[-1]['name']}"}
        if "/preupload/" in path:
            modes = {"uploadMode": "regular", "shouldIgnore": False}
            files = json.loads(body)["files"]
            return {"files": [{"path": each["path"], **modes} for each in files]}
        if "/commit/" in path:
            entries = [json.loads(line) for line in body.decode().splitlines()]
            files = [entry["value"] for entry in entries if entry["key"] == "file"]
            self.files |= {file["path"]: base64.b64decode(file["content"]) for file in files}
            oid = "0" * 40
            url = f"{self.address}/owner/name/commit/{oid}"
            return {"commitUrl": url, "commitOid": oid, "success": True}
        return {"errors": [], "warnings": []}


@contextmanager
def hub() -> Iterator[Hub]:
    """Serve an empty hub."""
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if state.refuses:
                self._send({"error": "Invalid username or password."}, 401)
            else:
                self._send(state.answer(self.path, body))

        def do_GET(self) -> None:
            self._send({"id": "owner/name", "sha": "0" * 40, "siblings": []})

        def _send(self, content: dict[str, Any], status: int = 200) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
