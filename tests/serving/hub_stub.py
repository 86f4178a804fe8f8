"""A local server with the part of the Hugging Face hub's API that an upload uses."""

from __future__ import annotations

import base64
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Hub:
    """The address of the server, the repositories that were created, and the uploaded files.

    With ``stores``, the address of a store, weights go there: by Xet, or to this server by LFS.
    """

    address: str = ""
    created: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    refuses: bool = False
    large: dict[str, bytes] = field(default_factory=dict)
    stores: str = ""

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        """Return the answer to a request that changes something."""
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return {"url": f"{self.address}/owner/{self.created[-1]['name']}"}
        if "/preupload/" in path:
            paths = [each["path"] for each in json.loads(body)["files"]]
            return {"files": [self._mode(path) for path in paths]}
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            for each in objects:
                each["actions"] = {"upload": {"href": f"{self.address}/lfs/{each['oid']}"}}
            return {"transfer": "basic", "objects": objects}
        if "/commit/" in path:
            entries = [json.loads(line) for line in body.decode().splitlines()]
            files = [entry["value"] for entry in entries if entry["key"] == "file"]
            self.files |= {file["path"]: base64.b64decode(file["content"]) for file in files}
            large = [entry["value"] for entry in entries if entry["key"] == "lfsFile"]
            self.files |= {file["path"]: self.large[file["oid"]] for file in large}
            oid = "0" * 40
            url = f"{self.address}/owner/name/commit/{oid}"
            return {"commitUrl": url, "commitOid": oid, "success": True}
        return {"errors": [], "warnings": []}

    def _mode(self, path: str) -> dict[str, Any]:
        mode = "lfs" if self.stores and path.endswith(".safetensors") else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False}

    def description(self, path: str) -> dict[str, Any]:
        """Return the answer to a request that changes nothing."""
        if "/xet-write-token/" in path:
            end = int(time.time()) + 3600
            return {"accessToken": "t", "exp": end, "casUrl": self.stores}
        return {"id": "owner/name", "sha": "0" * 40, "siblings": []}


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
            self._send(state.description(self.path))

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.large[self.path.rpartition("/")[2]] = content
            self._send({})

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
