"""Load the new model when the alias moves, while the old model answers."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from thaw.errors import ThawError
from thaw.serving.model_uri import resolve_version
from thaw.serving.served_model import load_served_model
from thaw.system.console import say, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw.serving.batching import BatchingEngine
    from thaw.serving.service_metrics import ServiceMetrics
    from thaw.serving.settings import Settings

Result = TypeVar("Result")


async def follow_model_uri(
    engine: BatchingEngine, metrics: ServiceMetrics, model_uri: str, settings: Settings
) -> None:
    """Check every ``settings.poll`` seconds whether ``model_uri`` names another model; load it.

    The engine switches to the new model when that is loaded. Until then the old model answers; it
    also answers the images that were decoded for it. A model that cannot be loaded changes nothing.
    """
    last_warning = ""
    while True:
        await asyncio.sleep(settings.poll)
        try:
            if await _in_thread(partial(resolve_version, model_uri)) == engine.model.version:
                last_warning = ""
                continue
            model = await _in_thread(partial(load_served_model, model_uri, settings))
        except Exception as error:
            metrics.reload_failures.inc()
            reason = str(error) if isinstance(error, ThawError) else repr(error)
            if reason != last_warning:
                warn(f"{engine.model.name} continues to answer: {reason}")
            last_warning = reason
            continue
        engine.model = model
        metrics.show_model(model)
        metrics.reloads.inc()
        say(f"{model.name} ({model.digest[:12]}) answers from now on")


async def _in_thread(call: Callable[[], Result]) -> Result:
    """Return what ``call`` returns in a thread that the end of the service does not wait for.

    A registry that does not answer would delay it for a minute: asyncio waits for its own threads.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def finish(set_outcome: Callable[[], None]) -> None:
        if not future.done():  # cancelled: the service ends
            set_outcome()

    def run() -> None:
        try:
            outcome = partial(future.set_result, call())
        except Exception as error:
            outcome = partial(future.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, outcome)

    threading.Thread(target=run, name="reload", daemon=True).start()
    return await future
