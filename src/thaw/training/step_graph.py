"""Forward and backward pass as CUDA graphs, which a GPU runs without waiting for the program.

A step of a convolutional network starts a thousand kernels. On a fast GPU, starting them takes as
long as running them, and each moment in which another thread has the interpreter makes the GPU
wait. A graph starts all of them at once. They are the same kernels, so that the bits are the same.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thaw.training.determinism import debug_mode, only_deterministic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thaw.training.precision import Precision


class _Network(nn.Module):
    """A network whose own ``forward`` stays as it is: batches of another size are given to it.

    The forward pass runs in the debug mode of determinism ``mode``, as it does without graphs. In
    another one, torch would compile a compiled network a second time.
    """

    def __init__(self, network: Any, mode: int) -> None:
        super().__init__()
        self.network, self.mode = network, mode

    def forward(self, inputs: Tensor) -> Any:
        with debug_mode(self.mode):
            return self.network(inputs)


def captured(
    network: Any, example: Tensor, precision: Precision, *, is_strict: bool = False
) -> Callable[[Tensor], Tensor]:
    """Return ``network`` as CUDA graphs, for inputs of the shape and type of ``example``.

    It runs ``network`` a few times, so that running statistics move. With ``is_strict``, the
    backward pass has deterministic operations only.

    Raises:
        RuntimeError: an operation cannot be captured, or memory is exhausted.
    """
    # torch adds up gradients on the stream of the capture, and waits for the other one by itself.
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    given = _Network(network, torch.get_deterministic_debug_mode())
    with (
        precision.autocast(example.device, keeps_weights=False),  # torch refuses kept ones
        only_deterministic() if is_strict else contextlib.nullcontext(),
        _ended_captures(example.device) as pool,
    ):
        graphed: Any = torch.cuda.make_graphed_callables(given, (example.clone(),), pool=pool)
    found: Callable[[Tensor], Tensor] = graphed
    return found


@contextlib.contextmanager
def _ended_captures(device: torch.device) -> Iterator[Any]:
    """Give the pool of memory for captures on ``device``, and end a capture that fails.

    torch's own clean-up stops at the first error: the thread would stay on the stream of the
    capture.
    """
    if device.type != "cuda":
        yield None
        return
    pool = torch.cuda.graph_pool_handle()
    with torch.cuda.stream(torch.cuda.current_stream(device)):  # returns to it at the end
        try:
            yield pool
        except Exception:
            _end_failed_capture(device, pool)
            raise


def _end_failed_capture(device: torch.device, pool: Any) -> None:
    """Do what torch 2.14 does itself after a capture that failed, and torch 2.11 does not.

    The allocator would take the capture to be under way: it would never use again the memory of
    batches that two streams have used, and would keep that of the capture. The generator would
    refuse to draw, so that dropout would raise an error.

    Source: ``CUDAGraph::capture_end``, ``CUDAGraph::reset``, ``DeviceCachingAllocator::free`` and
    ``CUDAGeneratorState::increase`` of both versions.
    """
    with contextlib.suppress(RuntimeError):  # torch has ended the capture, or it did not begin
        torch._C._cuda_endAllocateToPool(device.index, pool)
        torch._C._cuda_releasePool(device.index, pool)
    generator = torch.cuda.default_generators[device.index]
    generator.graphsafe_set_state(generator.clone_state())  # a copy is not part of a capture
