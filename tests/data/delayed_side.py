"""A fake device: what is made on it is complete only after the wait for its mark."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from thaw.data.batches import Batch


class DelayedSide:
    """Batches in the memory of the CPU that hold wrong values until they are handed over.

    ``running`` is the number of batches that were made and not yet handed over; ``most_running`` is
    the largest that it was. ``buffers`` are the sizes of the memory for copies.
    """

    def __init__(self) -> None:
        self.running = self.most_running = 0
        self.buffers: list[int] = []

    def allocate(self, size: int) -> Tensor:
        """Return memory that holds no zeros, as freed memory does."""
        self.buffers.append(size)
        return torch.full((size,), 0xA5, dtype=torch.uint8)

    def copied(self, tensor: Tensor) -> Tensor:
        """Return a copy."""
        return tensor.clone()

    def run(self, make: Callable[[], Any]) -> tuple[Any, Any]:
        """Return a batch of wrong values, and its values as the mark."""
        batch: Batch = make()
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        tensors = [
            value for one in fields(batch) if isinstance(value := getattr(batch, one.name), Tensor)
        ]
        values = [tensor.clone() for tensor in tensors]
        for tensor in tensors:
            tensor.fill_(-77)
        return batch, values

    def hand_over(self, tensors: Iterable[Tensor], mark: list[Tensor]) -> None:
        """Write the values."""
        self.running -= 1
        for tensor, value in zip(tensors, mark, strict=True):
            tensor.copy_(value)
