"""`thaw serve`: the service under uvicorn."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from thaw.serving.app import build
from thaw.serving.model_reloading import load
from thaw.system.console import say

if TYPE_CHECKING:
    from thaw.serving.settings import Settings

_SWITCH = 0.0005  # seconds: the forward pass needs the interpreter again after every layer
_CONNECTIONS = 1024


def serve(asked: str, host: str, port: int, settings: Settings) -> None:
    """Serve what ``asked`` stands for, until a signal; requests in work are answered first.

    Raises:
        ThawError: it is not there, or not what was registered.
    """
    model = load(asked, settings.max_megapixels, settings.runtime)
    say(f"{model.name} ({model.digest[:12]}) on http://{host}:{port}")
    sys.setswitchinterval(_SWITCH)
    config = uvicorn.Config(
        build(asked, model, settings),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=int(settings.timeout) + 1,
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is done
        uvicorn.Server(config).run()
