"""Load the new model when the alias moves, while the old model answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.serving.model_uri import resolve_version
from thaw.serving.served_model import load_served_model
from thaw.system.console import say, warn

if TYPE_CHECKING:
    from thaw.serving.batching import BatchingEngine
    from thaw.serving.service_metrics import ServiceMetrics
    from thaw.serving.settings import Settings


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
            if await asyncio.to_thread(resolve_version, model_uri) == engine.model.version:
                last_warning = ""
                continue
            model = await asyncio.to_thread(load_served_model, model_uri, settings)
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
