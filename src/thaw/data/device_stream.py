"""Copies to a GPU and computation there beside the work that uses the results."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Result = TypeVar("Result")


class Side(Protocol):
    """A place beside the main work of a device, where batches are made ready."""

    def allocate(self, size: int) -> Tensor:
        """Return ``size`` bytes of CPU memory for a copy to the device."""

    def copied(self, tensor: Tensor) -> Tensor:
        """Return a copy of ``tensor`` on the device; the caller does not wait for the copy."""

    def run(self, make: Callable[[], Result]) -> tuple[Result, Any]:
        """Return the result of ``make``, computed on the side, and a mark of its end."""

    def hand_over(self, tensors: Iterable[Tensor], mark: Any) -> None:
        """Make the main work wait for ``mark``, after which it may use ``tensors``."""


class SideStream:
    """A CUDA stream beside the current one of each thread, the same for all users of a device.

    The CPU waits for neither. The order of the two streams is that of the marks, so that the
    results do not depend on how fast each of them is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = _stream_beside(device)

    def allocate(self, size: int) -> Tensor:
        """Return ``size`` bytes of page-locked memory; torch keeps freed blocks for the next."""
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def copied(self, tensor: Tensor) -> Tensor:
        """Return a copy of ``tensor`` on the device; the caller does not wait for the copy.

        torch does not use the page-locked memory again before the copy has ended.
        """
        return sent(tensor, self._device)

    def run(self, make: Callable[[], Result]) -> tuple[Result, torch.cuda.Event]:
        """Return the result of ``make`` on this stream, and the event after it."""
        # A new thread is on the first GPU. At the end of `stream` torch would return to it, which
        # takes half a gigabyte there.
        with torch.cuda.device(self._stream.device), torch.cuda.stream(self._stream):
            return make(), self._stream.record_event()

    def hand_over(self, tensors: Iterable[Tensor], mark: torch.cuda.Event) -> None:
        """Make the current stream wait for the event ``mark``, after which it uses ``tensors``."""
        current = torch.cuda.current_stream(self._device)
        current.wait_event(mark)
        for tensor in tensors:
            # Else torch would give the memory to this side stream again, while it is in use there.
            tensor.record_stream(current)


@functools.cache
def _stream_beside(device: torch.device) -> torch.cuda.Stream:
    """Return the side stream of ``device``.

    torch keeps freed memory for the stream on which it was allocated. With a new stream for each
    pass over a data set, each of torch's 32 streams would keep the memory of some batches. Besides,
    what one pass leaves for the next one (matrices for resizing) is there when that one uses it.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Return ``values`` on ``device``; neither the caller nor the GPU waits for the copy.

    A copy from memory that is not page-locked would wait for all work that was queued before.
    """
    if device.type == "cuda" and values.numel() and not values.is_pinned():
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def fetched_later(values: Tensor) -> Callable[[], Tensor]:
    """Return a function that waits for ``values`` and returns them in the memory of the CPU.

    The copy starts now, after the work that the current stream has.
    """
    if values.device.type == "cpu":
        return lambda: values
    fetched = values.to("cpu", non_blocking=True)  # in page-locked memory
    event = torch.cuda.current_stream(values.device).record_event()

    def wait() -> Tensor:
        event.synchronize()
        return fetched

    return wait


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a GPU in bytes."""
    free, _ = torch.cuda.mem_get_info(device)
    return free
