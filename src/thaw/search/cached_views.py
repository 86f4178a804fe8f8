"""Augmented training images whose activations are computed once: some views of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from thaw.data.random_draws import Stream, uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.data.loading import ActivationSource


class Views:
    """Activations of the training images, as they look in the first epochs of training.

    The first ``len(views)`` epochs are what they would be without a cache, to the bit. In a
    later one each image draws one of the views, from (seed, epoch, image id) alone.
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

    def read(self, places: NDArray[np.int64]) -> Tensor:
        """The places alone: which view is wanted depends on the epoch."""
        return torch.from_numpy(np.asarray(places))

    def finish(self, inputs: Tensor, places: NDArray[np.int64], epoch: int | None) -> Tensor:
        """The activations (N, ...) of this epoch's views; without an epoch, of the first ones."""
        first = epoch or 1
        if first <= len(self._views):
            found = self._views[first - 1].read(places)
        else:
            found = self._drawn(places, first)
        return self._views[0].finish(found.to(inputs.device), places, epoch)

    def _drawn(self, places: NDArray[np.int64], epoch: int) -> Tensor:
        draws = uniform(self._seed, epoch, self._ids[places], Stream.CACHED_VIEWS, 1)[:, 0]
        chosen = (draws * len(self._views)).astype(np.int64)
        found: Tensor | None = None
        for number in np.unique(chosen):
            mask = chosen == number
            part = self._views[number].read(places[mask])
            if found is None:
                found = part.new_empty((len(places), *part.shape[1:]))
            found[torch.from_numpy(mask)] = part
        assert found is not None
        return found
