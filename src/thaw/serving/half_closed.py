"""Answer clients that end their side of the connection after the request (``SHUT_WR``)."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

_Protocol: Any = AutoHTTPProtocol  # one of two classes, whichever is installed


class HalfClosedProtocol(_Protocol):  # type: ignore[misc]
    """uvicorn's protocol, without its end of the connection as soon as the client sends no more."""

    def eof_received(self) -> bool:
        """Return whether the connection stays open: a whole request waits for its answer."""
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            return False
        if not self._has_more():  # else the time limit of idle connections ends it
            self.cycle.keep_alive = False
        return True

    def _has_more(self) -> bool:
        """Return whether another request has arrived behind the one that is answered."""
        if hasattr(self, "conn"):  # h11
            return bool(self.conn.trailing_data[0])
        return bool(self.pipeline)  # httptools
