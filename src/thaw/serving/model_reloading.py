"""The model that answers, and the one that takes over when the alias moves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving.model_uri import current, located
from thaw.serving.runtimes import use
from thaw.system.console import say, warn

if TYPE_CHECKING:
    from thaw.serving.batching import Engine
    from thaw.serving.runtimes import Runtime
    from thaw.serving.service_metrics import Meters
    from thaw.serving.settings import Settings

_WINDOW = 512  # images that the drift score is over, or up to twice as many


@dataclass(frozen=True)
class Model:
    """A loaded model; ``name`` is ``models:/NAME/NUMBER``, or a folder."""

    name: str
    version: str
    predictor: Predictor

    @property
    def digest(self) -> str:
        """Of the model directory."""
        return self.predictor.spec.digest


def load(asked: str, max_megapixels: float, runtime: Runtime) -> Model:
    """Load what ``asked`` stands for now, to be computed by ``runtime``, and run it once.

    Raises:
        ThawError: it is not there, or not what was registered.
    """
    version = current(asked)
    with located(asked) as found:
        predictor = Predictor(found.folder, window=_WINDOW, max_megapixels=max_megapixels)
        use(runtime, predictor, found.folder)
    size = predictor.spec.preprocessing.image_size
    predictor.forward(torch.zeros(1, 3, size, size, dtype=torch.uint8))
    return Model(found.name, version, predictor)


async def follow(engine: Engine, meters: Meters, asked: str, settings: Settings) -> None:
    """Look every ``settings.poll`` seconds whether ``asked`` has moved; load what it moved to.

    The new model takes over once it can answer. Until then the old one answers, and also what was
    decoded for it. A model that cannot be loaded changes nothing.
    """
    told = ""
    while True:
        await asyncio.sleep(settings.poll)
        try:
            if await asyncio.to_thread(current, asked) == engine.model.version:
                told = ""
                continue
            model = await asyncio.to_thread(load, asked, settings.max_megapixels, settings.runtime)
        except Exception as error:
            meters.failures.inc()
            reason = str(error) if isinstance(error, ThawError) else repr(error)
            if reason != told:
                warn(f"{engine.model.name} still answers: {reason}")
            told = reason
            continue
        engine.model = model
        meters.serve(model)
        meters.reloads.inc()
        say(f"{model.name} answers now ({model.digest[:12]})")
