"""Image bytes -> probabilities: what is served, and nothing that training needs."""

from __future__ import annotations

import copy
import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from thaw.data.decoding import DecodeError, decode
from thaw.model import directory
from thaw.model.drift import Drift, Places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from thaw.model.classifier import Classifier


class Predictor:
    """A model directory, ready to classify encoded images; several threads may use it at once.

    ``drift``, where the model keeps the statistics for it, looks at what passes when it is told to
    (over the last ``window`` images or more, or over all). ``max_megapixels`` may be less than what
    the model was trained on. ``elsewhere``, where it is set, computes in another runtime what no
    drift is looked for in: images as :meth:`forward` takes them -> probabilities.
    """

    def __init__(
        self,
        folder: Path,
        batch_size: int = 64,
        *,
        window: int | None = None,
        max_megapixels: float = math.inf,
    ) -> None:
        self.classifier, self.spec = directory.load(folder)
        self._batch_size = batch_size
        self._max_megapixels = min(max_megapixels, self.spec.preprocessing.max_megapixels)
        reference = directory.load_reference(folder, self.spec)
        places = Places.of(self.spec.folded, self.spec.merged)
        self.drift = Drift(reference, places, window) if reference else None
        self.elsewhere: Callable[[Tensor], Tensor] | None = None
        self._of_thread = threading.local()

    @property
    def classes(self) -> list[str]:
        """The labels, in the order of the probabilities."""
        return self.spec.classes

    def probabilities(self, images: Sequence[bytes]) -> Tensor:
        """Encoded images (JPEG, PNG, ...) -> probabilities (N, classes).

        Raises:
            DecodeError: some image cannot be decoded; its place is named.
        """
        results = []
        for start in range(0, len(images), self._batch_size):
            batch = images[start : start + self._batch_size]
            inputs = [self._read(start + place, content) for place, content in enumerate(batch)]
            results.append(self.forward(torch.cat(inputs)))
        return torch.cat(results) if results else torch.empty(0, len(self.classes))

    def read(self, content: bytes) -> Tensor:
        """An encoded image -> uint8 (1, 3, S, S), as :meth:`forward` takes it.

        Raises:
            DecodeError: it cannot be decoded, or is too large by its header.
        """
        preprocessing = self.spec.preprocessing
        decoded = decode(
            content,
            short_side=preprocessing.short_side,
            max_megapixels=self._max_megapixels,
        )
        return preprocessing.resize([decoded.pixels])

    def forward(self, images: Tensor, *, watch: bool = False) -> Tensor:
        """Images as uint8 (N, 3, S, S) -> probabilities (N, classes)."""
        due = self.drift.due(len(images)) if self.drift and watch else 0
        if not self.elsewhere:
            return self._forward(images, due)
        parts = [self._forward(images[:due], due)] if due else []
        if due < len(images):
            parts.append(self.elsewhere(images[due:]))
        return torch.cat(parts)

    def _forward(self, images: Tensor, due: int) -> Tensor:
        inputs = self.spec.preprocessing.normalize(images.float().div_(255))
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), self._network(due) as network:
            probabilities: Tensor = network(inputs).softmax(dim=1)
        return probabilities

    @contextmanager
    def _network(self, due: int) -> Iterator[Classifier]:
        """The network; or a twin of this thread's while ``due`` images are being watched.

        Hooks on the network itself would see what other threads compute, too.
        """
        if not due:
            yield self.classifier
            return
        assert self.drift is not None
        twin: Classifier | None = getattr(self._of_thread, "twin", None)
        if twin is None:
            twin = self._of_thread.twin = _twin(self.classifier)
        with self.drift.watch(twin, due):
            yield twin

    def _read(self, place: int, content: bytes) -> Tensor:
        try:
            return self.read(content)
        except DecodeError as error:
            raise DecodeError(f"image {place}: {error}") from None


def _twin(classifier: Classifier) -> Classifier:
    """Other modules, the same tensors."""
    shared = {id(tensor): tensor for tensor in classifier.state_dict(keep_vars=True).values()}
    return copy.deepcopy(classifier, shared)
