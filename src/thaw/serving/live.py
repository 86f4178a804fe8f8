"""The model that answers, and the one that takes over when the alias moves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from thaw.console import say, warn
from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving.located import current, located

if TYPE_CHECKING:
    from thaw.serving.engine import Engine
    from thaw.serving.meters import Meters

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


def load(asked: str, max_megapixels: float) -> Model:
    """Load what ``asked`` stands for now, and run it once.

    Raises:
        ThawError: it is not there, or not what was registered.
    """
    version = current(asked)
    with located(asked) as found:
        predictor = Predictor(found.folder, window=_WINDOW, max_megapixels=max_megapixels)
    size = predictor.spec.preprocessing.image_size
    predictor.forward(torch.zeros(1, 3, size, size, dtype=torch.uint8))
    return Model(found.name, version, predictor)


async def follow(
    engine: Engine, meters: Meters, asked: str, max_megapixels: float, seconds: float
) -> None:
    """Look every ``seconds`` whether ``asked`` has moved; load the new model and let it take over.

    The old one answers until then, and what was decoded for it. A model that cannot be loaded
    changes nothing.
    """
    told = ""
    while True:
        await asyncio.sleep(seconds)
        try:
            if await asyncio.to_thread(current, asked) == engine.model.version:
                told = ""
                continue
            model = await asyncio.to_thread(load, asked, max_megapixels)
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
