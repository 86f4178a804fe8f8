"""Predict: encoded images -> probabilities, for serving and batch prediction."""

from __future__ import annotations

import copy
import math
import threading
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from thaw.data.decode_error import DecodeError
from thaw.data.device_stream import SideStream, fetched_later
from thaw.data.image_reader import ImageReader
from thaw.model import directory
from thaw.model.calibration import CalibratedSoftmax
from thaw.model.drift import Drift, FoldedPlaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor

    from thaw.model.classifier import Classifier

_CPU = torch.device("cpu")

_OF_PROCESS = ("_side", "_of_thread")  # attributes of `Predictor` that no copy takes over


class Predictor:
    """A model directory, ready to classify encoded images; several threads may use it at once.

    ``drift`` is the drift over the last ``window`` images or more (None: over all); it is None if
    the model directory has no statistics. Images above ``max_megapixels`` or the limit of the
    training data are refused. ``other_runtime`` can be set to a function of another runtime with
    the interface of :meth:`forward`; it computes the images whose drift is not measured. The
    network computes on ``device``, in the precision of the context that ``autocast`` returns.
    """

    def __init__(
        self,
        folder: Path,
        batch_size: int = 64,
        *,
        window: int | None = None,
        max_megapixels: float = math.inf,
        device: torch.device = _CPU,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.classifier, self.spec = directory.load(folder)
        self.classifier.to(device)
        self._softmax = CalibratedSoftmax(self.spec.calibration).to(device)
        self.device = device
        self._autocast = autocast
        self._side = _side_of(device)
        self._batch_size = batch_size
        preprocessing = self.spec.preprocessing
        most = min(max_megapixels, preprocessing.max_megapixels)
        self.reader = ImageReader(preprocessing, most)
        reference = directory.load_reference(folder, self.spec)
        places = FoldedPlaces.of(self.spec.folded, self.spec.merged)
        self.drift = Drift(reference, places, window) if reference else None
        self.other_runtime: Callable[[Tensor], Tensor] | None = None
        self._of_thread = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        """Return the content for a copy, also in another process; streams and threads stay here."""
        return {name: value for name, value in vars(self).items() if name not in _OF_PROCESS}

    def __setstate__(self, content: dict[str, Any]) -> None:
        """Take over the content; a stream of the GPU is opened in this process."""
        vars(self).update(content)
        self._side = _side_of(self.device)
        self._of_thread = threading.local()

    @property
    def classes(self) -> list[str]:
        """The labels, in the order of the probabilities."""
        return self.spec.classes

    def probabilities(self, images: Sequence[bytes]) -> Tensor:
        """Return the probabilities (N, classes) of encoded images (JPEG, PNG, ...).

        Raises:
            DecodeError: an image cannot be decoded; the message names its index.
        """
        results = []
        for start in range(0, len(images), self._batch_size):
            batch = images[start : start + self._batch_size]
            inputs = [self._read(start + place, content) for place, content in enumerate(batch)]
            results.append(self.forward(torch.cat(inputs)))
        return torch.cat(results) if results else torch.empty(0, len(self.classes))

    def read(self, content: bytes) -> Tensor:
        """Return an encoded image as uint8 (1, 3, S, S), the input of :meth:`forward`.

        Raises:
            DecodeError: it cannot be decoded, or its header says that it is too large.
        """
        return self.reader.read(content)

    def forward(self, images: Tensor, *, watch: bool = False) -> Tensor:
        """Return the probabilities (N, classes) of images, uint8 (N, 3, S, S).

        With ``watch``, the drift of some of them is measured.
        """
        return self.start(images, watch=watch)()

    def start(self, images: Tensor, *, watch: bool = False) -> Callable[[], Tensor]:
        """Start what :meth:`forward` does; return a function that waits for the result.

        On a GPU, the caller can start other batches meanwhile. Elsewhere nothing is left to wait
        for. ``images`` must not change until the result is there.
        """
        return fetched_later(self.compute(images, watch=watch))

    def compute(self, images: Tensor, *, watch: bool = False) -> Tensor:
        """Return the probabilities (N, classes) on the device, which may not have ended yet.

        ``images`` are uint8 (N, 3, S, S), on the CPU or on the device.
        """
        due = self.drift.due(len(images)) if self.drift and watch else 0
        if not self.other_runtime:
            return self._forward(images, due)
        parts = [self._forward(images[:due], due)] if due else []
        if due < len(images):
            parts.append(self.other_runtime(images[due:]))
        return torch.cat(parts)

    def _forward(self, images: Tensor, due: int) -> Tensor:
        images = self._on_device(images)
        inputs = self.spec.preprocessing.normalize(images.float().div_(255))
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), self._network(due) as network, self._autocast():
            probabilities: Tensor = self._softmax(network(inputs).float())
        return probabilities

    def _on_device(self, images: Tensor) -> Tensor:
        """Return a copy of ``images`` on the device, beside what that computes now."""
        if self._side is None or images.device == self.device:
            return images
        copied, mark = self._side.run(partial(self._side.copied, images))
        self._side.hand_over([copied], mark)
        return copied

    @contextmanager
    def _network(self, due: int) -> Iterator[Classifier]:
        """Yield the network, or while ``due`` images are measured a copy for this thread.

        Hooks on the network itself would also measure the images of other threads.
        """
        if not due:
            yield self.classifier
            return
        assert self.drift is not None
        copied: Classifier | None = getattr(self._of_thread, "copied", None)
        if copied is None:
            copied = self._of_thread.copied = _with_shared_tensors(self.classifier)
        with self.drift.watch(copied, due):
            yield copied

    def _read(self, place: int, content: bytes) -> Tensor:
        try:
            return self.read(content)
        except DecodeError as error:
            raise error.of_image(place) from None


def _side_of(device: torch.device) -> SideStream | None:
    return SideStream(device) if device.type != "cpu" else None


def _with_shared_tensors(classifier: Classifier) -> Classifier:
    """Return a copy with other modules and the same tensors."""
    shared = {id(tensor): tensor for tensor in classifier.state_dict(keep_vars=True).values()}
    return copy.deepcopy(classifier, shared)
