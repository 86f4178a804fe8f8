"""The model that the service answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from thaw.errors import ThawError
from thaw.serving.image_limit import limit_images
from thaw.serving.model_uri import local_model, resolve_version
from thaw.serving.runtimes import use_runtime
from thaw.system.quantities import quantity
from thaw.training.out_of_memory import shortage_named

if TYPE_CHECKING:
    from thaw.model.predictor import Predictor
    from thaw.serving.image_limit import ImageLimit
    from thaw.serving.settings import Settings

_DRIFT_WINDOW = 512  # the drift score covers this many images, or up to twice as many


@dataclass(frozen=True)
class ServedModel:
    """A loaded model.

    ``name`` is ``models:/NAME/NUMBER`` or a folder. ``version`` changes when the URI that was
    asked for leads to another model. ``limit`` bounds the images that are computed at once.
    """

    name: str
    version: str
    predictor: Predictor
    limit: ImageLimit

    @property
    def digest(self) -> str:
        """The digest of the model directory."""
        return self.predictor.spec.digest


def load_served_model(model_uri: str, settings: Settings) -> ServedModel:
    """Load the model that ``model_uri`` names now, and run it once.

    Raises:
        ThawError: the model does not exist, differs from what was registered, or gives no finite
            result.
        MemoryShortageError: an image, or on a GPU a batch, does not fit into its memory.
    """
    version = resolve_version(model_uri)
    with local_model(model_uri) as found:
        predictor = settings.computing.predictor(
            found.folder, window=_DRIFT_WINDOW, max_megapixels=settings.max_megapixels
        )
        use_runtime(settings.runtime, predictor, found.folder)
    limit = limit_images(found.name, predictor, settings.batch_size)
    _compute_once(found.name, predictor, settings)
    return ServedModel(found.name, version, predictor, limit)


def _compute_once(name: str, predictor: Predictor, settings: Settings) -> None:
    """Let the model answer, so that it fails now and not at the first request.

    Raises:
        ThawError: no result is finite.
        MemoryShortageError: a batch does not fit into the memory of the device.
    """
    size = predictor.spec.preprocessing.image_size
    # A GPU also loads its kernels and takes its memory now, not at the first request.
    for count in (1, settings.batch_size) if settings.computing.is_gpu else (1,):
        with shortage_named(
            f"out of memory on {predictor.device} with {quantity(count, 'image')} at once: end "
            "other programs on it, or set a smaller --max-batch"
        ):
            result = predictor.forward(torch.zeros(count, 3, size, size, dtype=torch.uint8))
    if not bool(result.isfinite().all()):  # in fp16, that of a single image may overflow
        noise = torch.randint(256, (1, 3, size, size), generator=torch.Generator().manual_seed(0))
        if not bool(predictor.forward(noise.to(torch.uint8)).isfinite().any()):
            precision = settings.computing.precision.name
            remedy = "its weights are damaged: serve another version (`thaw status`)"
            if precision != "fp32":
                remedy = f"its values may overflow in {precision}: set --precision fp32"
            raise ThawError(f"{name} gives no probability that is finite: {remedy}")
