"""Load the new model when the alias moves, while the old model answers."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from thaw.errors import ThawError
from thaw.registry.names import PREFIX
from thaw.serving.model_uri import resolve_version
from thaw.serving.served_model import ServedModel, load_served_model
from thaw.system.console import say, warn
from thaw.training.out_of_memory import MemoryShortageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw.serving.batching import BatchingEngine
    from thaw.serving.service_metrics import ServiceMetrics
    from thaw.serving.settings import Settings

Result = TypeVar("Result")
_REMEMBERED = 3600.0  # seconds until a broken version is fetched again: it may have been restored


async def follow_model_uri(
    engine: BatchingEngine, metrics: ServiceMetrics, model_uri: str, settings: Settings
) -> None:
    """Check every ``settings.poll`` seconds whether ``model_uri`` names another model; load it.

    The engine switches to the new model when that is loaded. Until then the old model answers; it
    also answers the images that were decoded for it. A model that cannot be loaded changes nothing.
    """
    last_warning = ""
    loader = _Loader(settings)
    while True:
        await asyncio.sleep(settings.poll)
        try:
            version = await _in_thread(partial(resolve_version, model_uri))
            if version == engine.model.version:
                last_warning = ""
                loader.forget()
                continue
            # By its number, which no move of the alias changes. A folder has none.
            exact = version if model_uri.startswith(PREFIX) else model_uri
            model = await _in_thread(partial(loader.load, exact))
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


class _Loader:
    """Loads versions, and remembers the last one that is broken, so that it is fetched once.

    A folder is not fetched. It is read again each time, because it may be half copied.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._broken: tuple[str, str, float] | None = None  # URI, reason, time

    def forget(self) -> None:
        """Forget the broken version: the alias was moved to another one."""
        self._broken = None

    def load(self, uri: str) -> ServedModel:
        """Load the version ``uri``; raise its error again if it is known to be broken.

        Raises:
            ThawError: the version does not exist, cannot be fetched, or is broken.
        """
        if self._broken is not None:
            broken, reason, when = self._broken
            if broken == uri and time.monotonic() - when < _REMEMBERED:
                raise ThawError(reason)
        self._broken = None
        try:
            return load_served_model(uri, self._settings)
        except ThawError as error:
            if uri.startswith(PREFIX) and _is_of_version(error):
                self._broken = (uri, str(error), time.monotonic())
            raise


def _is_of_version(error: ThawError) -> bool:
    """Return whether ``error`` is about the files of a version, and not about what surrounds it.

    A store that does not answer, and a shortage of memory or disk, pass without another version.
    """
    from thaw.registry.artifact_files import ArtifactStoreError  # imports MLflow
    from thaw.tracking.outages import STORE_ERRORS

    surroundings = (*STORE_ERRORS, ArtifactStoreError, MemoryShortageError, MemoryError)
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, surroundings):
            return False
        one = one.__cause__ or one.__context__
    return True


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
