"""Forward and backward pass as CUDA graphs, which a GPU runs without waiting for the program.

A step of a convolutional network starts a thousand kernels. On a fast GPU, starting them takes as
long as running them, and each moment in which another thread has the interpreter makes the GPU
wait. A graph starts all of them at once. They are the same kernels, so that the bits are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw.training.precision import Precision


class _Network(nn.Module):
    """A network whose own ``forward`` stays as it is: batches of another size are given to it."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Any:
        return self.network(inputs)


def captured(network: Any, example: Tensor, precision: Precision) -> Callable[[Tensor], Tensor]:
    """Return ``network`` as CUDA graphs, for inputs of the shape and type of ``example``.

    It runs ``network`` a few times, so that running statistics move.

    Raises:
        RuntimeError: an operation cannot be captured, or memory is exhausted.
    """
    # torch adds up gradients on the stream of the capture, and waits for the other one by itself.
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    with precision.autocast(example.device, keeps_weights=False):  # torch refuses kept ones
        graphed: Any = torch.cuda.make_graphed_callables(_Network(network), (example.clone(),))
    found: Callable[[Tensor], Tensor] = graphed
    return found
