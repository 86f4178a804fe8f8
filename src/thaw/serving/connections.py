"""Connections of the service: clients that end early, send or read nothing, or are too many."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

_Protocol: Any = AutoHTTPProtocol  # one of two classes, whichever is installed
_MOST = 1024  # connections whose requests are answered at once
# Files that this process may open besides connections. Some rounds of the event loop pass, each
# with up to `ACCEPTED_AT_ONCE` new ones, until a connection that is too many has ended.
_OTHER_FILES = 200
ACCEPTED_AT_ONCE = 16


def connection_limit() -> int:
    """Return how many connections may have requests, within the limit of open files.

    The limit of this process is raised as far as this user may. A fifth of the connections is kept
    for clients that are told to come again (status 503).
    """
    files = 4096
    with suppress(ImportError, ValueError, OSError):  # ImportError: Windows
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = soft if hard == resource.RLIM_INFINITY else hard
        if soft < files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(1, min(_MOST, (files - _OTHER_FILES) * 4 // 5))


class ServiceProtocol(_Protocol):  # type: ignore[misc]
    """uvicorn's protocol, for clients that it serves too little or too long.

    One that ends its side of the connection after the request (``SHUT_WR``) gets its answer. A
    connection on which no request arrives for a while is closed; uvicorn itself limits only the
    time between an answer and the first byte of the next request. So is one whose client reads
    nothing of an answer. So neither can use up the files that this process may open.
    """

    seconds_without_request = 20.0

    def connection_made(self, transport: Transport) -> None:
        """Accept a connection, or end it at once if there are too many."""
        super().connection_made(transport)
        self._last_cycle: object = None
        self._last_unsent = 0
        self._check: TimerHandle | None = None
        limit = self.limit_concurrency
        if limit is not None and len(self.connections) > max(limit + 1, limit * 5 // 4):
            transport.abort()
        else:
            self._check_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._check is not None:
            self._check.cancel()
        super().connection_lost(exc)

    def _check_later(self) -> None:
        self._check = self.loop.call_later(self.seconds_without_request, self._end_if_idle)

    def _end_if_idle(self) -> None:
        """Close the connection if no request has come since the last check, and none is open.

        End it if its client has read nothing since then: closing would wait for the client.
        """
        unsent, last_unsent = self.transport.get_write_buffer_size(), self._last_unsent
        self._last_unsent = unsent
        if unsent and unsent == last_unsent:
            self.transport.abort()
            return
        is_open = self.cycle is not None and not self.cycle.response_complete
        if is_open or self.cycle is not self._last_cycle:
            self._last_cycle = self.cycle
        else:
            self.transport.close()
        self._check_later()  # until the connection is lost

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
