"""Cached activations of augmented training images: a fixed number of views of each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from thaw.data.device_stream import sent
from thaw.data.random_draws import Stream, uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.data.loading import ActivationSource


class CachedViews:
    """Activations of the training images, augmented as in the first epochs of training.

    ``views[i]`` are the activations of epoch i + 1. So the first ``len(views)`` epochs are equal,
    bit for bit, to those without a cache. In a later epoch each image draws one of its views,
    from (seed, epoch, image id).
    """

    def __init__(
        self, views: Sequence[ActivationSource], ids: NDArray[np.int64], seed: int
    ) -> None:
        self.targets = views[0].targets
        self._views = views
        self._ids = ids
        self._seed = seed

    def __len__(self) -> int:
        return len(self.targets)

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """Return ``indices`` themselves (N,): which view is needed depends on the epoch."""
        return torch.from_numpy(np.asarray(indices))

    def finish(self, inputs: Tensor, indices: NDArray[np.int64], epoch: int | None) -> Tensor:
        """Return the activations (N, ...) of the views of ``epoch``; of epoch 1 if it is None."""
        number = epoch or 1
        if number <= len(self._views):
            activations = self._views[number - 1].read(indices)
        else:
            activations = self._drawn(indices, number)
        return self._views[0].finish(sent(activations, inputs.device), indices, epoch)

    def _drawn(self, indices: NDArray[np.int64], epoch: int) -> Tensor:
        draws = uniform(self._seed, epoch, self._ids[indices], Stream.CACHED_VIEWS, 1)[:, 0]
        chosen = (draws * len(self._views)).astype(np.int64)
        activations: Tensor | None = None
        for number in np.unique(chosen):
            mask = chosen == number
            part = self._views[number].read(indices[mask])
            if activations is None:
                activations = part.new_empty((len(indices), *part.shape[1:]))
            activations[torch.from_numpy(mask)] = part
        assert activations is not None
        return activations
