"""Run the service under uvicorn (`thaw serve`)."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from thaw.serving.app import create_app
from thaw.serving.connections import ACCEPTED_AT_ONCE, ServiceProtocol, connection_limit
from thaw.serving.listening import WAITING, listen, url_of
from thaw.serving.served_model import load_served_model
from thaw.system.console import say

if TYPE_CHECKING:
    import socket

    from thaw.serving.settings import Settings

# Seconds after which a thread gives the interpreter to another. A forward pass needs it after every
# layer, and the default of 5 ms would make it wait for the threads that decode.
_SWITCH_INTERVAL = 0.0005


def serve(model_uri: str, host: str, port: int, settings: Settings) -> None:
    """Serve a model until a signal arrives; requests in progress are answered first.

    Raises:
        ThawError: the model does not exist, or differs from what was registered; or the address
            cannot be used, which is found before the model is loaded.
    """
    listening = listen(host, port)
    model = load_served_model(model_uri, settings)
    address = url_of(listening)
    say(
        f"{model.name} ({model.digest[:12]}) on {address}, by {settings.computing}. Open it in a "
        f"browser to try the model; {address}/docs describes the API; Ctrl-C ends the service"
    )
    sys.setswitchinterval(_SWITCH_INTERVAL)
    config = uvicorn.Config(
        create_app(model_uri, model, settings),
        http=ServiceProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=connection_limit(),
        backlog=ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=int(settings.timeout) + 1,
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after the shutdown
        _Server(config).run([listening])


class _Server(uvicorn.Server):
    """A server that accepts few connections at once, and lets the kernel keep many.

    asyncio has one number for both. Where it accepts so many that no more files can be opened, it
    tries again at once, thousands of times, each time with a traceback.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        for each in sockets or []:
            each.listen(WAITING)
