"""Around every answer: headers, counters, and never a traceback."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from thaw.serving.service_metrics import Meters

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_log = logging.getLogger("uvicorn.error")


class Guard:
    """ASGI middleware; a plain one, for Starlette's own takes half a millisecond a request."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            await self._app(scope, receive, send_guarded)
        except Exception:
            _log.exception("while answering %s", scope["path"])
            if not status:
                reason = {"error": "internal error: the service's log has the reason"}
                await JSONResponse(reason, 500)(scope, receive, send_guarded)
        if scope["path"] == "/predict":
            self._meters.requests.labels(status).inc()
            self._meters.seconds.observe(time.perf_counter() - start)
