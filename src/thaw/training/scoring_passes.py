"""Passes over batches that are scored, in as few pieces as fit into the memory."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import torch

from thaw.system.console import say
from thaw.system.quantities import quantity
from thaw.training.out_of_memory import MemoryShortageError, is_out_of_memory, scoring_shortage

if TYPE_CHECKING:
    from torch import Tensor, nn


class ScoringPasses:
    """Computes batches of a split: each at once, or in pieces once a batch exhausts the memory.

    The number of images in a pass changes a result by its rounding at most. In sharded training
    all processes must take the same passes, so that nothing is divided.
    """

    def __init__(
        self,
        network: nn.Module,
        description: str,
        device: torch.device,
        *,
        shards: bool = False,
    ) -> None:
        """Take the network, and the ``description`` and device that messages name."""
        self._network, self._description, self._device = network, description, device
        self._shards = shards
        self._most: int | None = None  # images in a pass; None: all of a batch

    def outputs(self, inputs: Tensor) -> Tensor:
        """Return the outputs for the inputs of a batch, in float32.

        Raises:
            MemoryShortageError: not even one image fits.
        """
        while True:
            try:
                return self._in_pieces(inputs)
            except Exception as error:
                if self._shards or not is_out_of_memory(error):
                    raise
                traceback.clear_frames(error.__traceback__)  # their variables hold the activations
            self._halve(len(inputs))

    def _in_pieces(self, inputs: Tensor) -> Tensor:
        if self._most is None or len(inputs) <= self._most:
            whole: Tensor = self._network(inputs).float()
            return whole
        pieces = torch.split(inputs, self._most)
        return torch.cat([self._network(piece).float() for piece in pieces])

    def _halve(self, images: int) -> None:
        """Compute half as many images at once as in the pass that failed."""
        tried = images if self._most is None else min(self._most, images)
        if tried == 1:
            raise MemoryShortageError(scoring_shortage(self._description, 1, self._device))
        # A power of two, as batches of scoring are: kernels round them alike.
        self._most = 2 ** ((tried - 1).bit_length() - 1)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        say(
            f"{self._description}: {quantity(tried, 'image')} at once exhaust the memory of "
            f"{self._device}: trying {self._most}"
        )
