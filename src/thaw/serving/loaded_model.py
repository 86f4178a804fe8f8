"""A model that a Python program loaded, and its predictions as arrays and data frames."""

from __future__ import annotations

from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from thaw.data.decode_error import DecodeError
from thaw.data.prefetching import delayed
from thaw.errors import ThawError
from thaw.registry.names import PREFIX
from thaw.serving.image_inputs import encode, is_list_of_images
from thaw.serving.image_limit import limit_images
from thaw.serving.model_uri import local_model
from thaw.system.bounded_pool import map_in_order
from thaw.system.devices import AUTO, CPU
from thaw.training.strict_predictor import strict_predictor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.config.result_sections import Tracking
    from thaw.model.predictor import Predictor

_BATCH_SIZE = 32


def load(model_uri: str, tracking: Tracking | None = None, device: str = AUTO) -> LoadedModel:
    """Load a model directory, or a registered model from the store of ``tracking``.

    It computes on ``device``: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ThawError: the model does not exist, or differs from what was registered; or there is no
            such device.
    """
    if not model_uri.startswith(PREFIX):
        with local_model(model_uri) as found:
            return LoadedModel(found.name, strict_predictor(found.folder, device))
    from thaw.tracking.store_scope import unchanged_store  # imports MLflow

    with unchanged_store(), local_model(model_uri, tracking) as found:
        return LoadedModel(found.name, strict_predictor(found.folder, device))


class LoadedModel:
    """A model in memory, on a CPU or a GPU; several threads may use it at once.

    An image is a path, the bytes of an image file, a PIL image, or a uint8 array of shape (H, W),
    (H, W, 3) or (H, W, 4).
    """

    def __init__(self, name: str, predictor: Predictor) -> None:
        self.name = name
        self._predictor = predictor

    @property
    def classes(self) -> list[str]:
        """Return the class names, in the order of the columns of :meth:`predict_proba`."""
        return list(self._predictor.classes)

    @property
    def digest(self) -> str:
        """Return the SHA-256 digest of the model directory."""
        return self._predictor.spec.digest

    @property
    def device(self) -> str:
        """Return the name of the device that computes: ``cpu`` or ``cuda:N``."""
        return str(self._predictor.device)

    def __repr__(self) -> str:
        return f"<LoadedModel {self.name}: {len(self.classes)} classes on {self.device}>"

    def predict_proba(self, images: Iterable[Any]) -> NDArray[np.float32]:
        """Return the probability of each class for each image, shape (N, classes), 0 to 1.

        Images are read in batches of at most 32, so ``images`` may be a generator over many files.

        Raises:
            ThawError: an image cannot be read; the message gives its position, from 0. Or an image
                of the model's size does not fit into memory.
            TypeError: ``images`` is one image, or a table, and not a list of images.

        Examples:
            >>> model.predict_proba(["kitten.jpg"]).round(2)   # doctest: +SKIP
            array([[0.97, 0.03]], dtype=float32)
        """
        if not is_list_of_images(images):
            raise TypeError("give a list of images: predict([image])")
        started = (self._predictor.start(batch) for batch in self._batches(images))
        # A GPU computes one batch while the next one is decoded.
        found = [result() for result in delayed(started, by=int(self.device != CPU))]
        if not found:
            return np.empty((0, len(self.classes)), dtype=np.float32)
        probabilities: NDArray[np.float32] = torch.cat(found).numpy()
        return probabilities

    def predict(self, images: Iterable[Any]) -> pd.DataFrame:
        """Return one row per image: ``label``, ``probability``, and ``p_CLASS`` for each class.

        Raises:
            ThawError: an image cannot be read; the message gives its position, from 0.
            TypeError: ``images`` is one image, or a table, and not a list of images.

        Examples:
            >>> model.predict(["kitten.jpg"])                  # doctest: +SKIP
              label  probability  p_cat  p_dog
            0   cat         0.97   0.97   0.03
        """
        import pandas as pd

        probabilities = self.predict_proba(images)
        labels = [self.classes[place] for place in probabilities.argmax(axis=1)]
        columns = [f"p_{label}" for label in self.classes]
        table = pd.DataFrame(probabilities, columns=columns)
        table.insert(0, "label", pd.Series(labels, dtype=str))
        table.insert(1, "probability", probabilities.max(axis=1))
        return table

    def _batches(self, images: Iterable[Any]) -> Iterator[Tensor]:
        """Decode on all cores; yield uint8 batches (N, 3, S, S)."""
        size = self._batch_size
        read = map_in_order(self._read, enumerate(images), pending_per_core=-(-size // 2))
        while batch := list(islice(read, size)):
            yield torch.cat(batch)

    @cached_property
    def _batch_size(self) -> int:
        return limit_images(self.name, self._predictor, _BATCH_SIZE).batch

    def _read(self, numbered: tuple[int, Any]) -> Tensor:
        place, image = numbered
        try:
            return self._predictor.read(encode(image))
        except (DecodeError, ThawError) as error:
            raise ThawError(f"image {place}: {error}") from None
