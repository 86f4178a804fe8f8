"""Settings of the service, as given on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.errors import ThawError
from thaw.serving.compute_device import Computing

if TYPE_CHECKING:
    from thaw.literals import ServingRuntime

_MAX_BATCH = 32
_MAX_BATCH_ON_GPU = 64
_CPU = Computing()
_LARGEST = 1e6  # megabytes, megapixels or seconds


@dataclass(frozen=True)
class Settings:
    """Limits and runtime of the service.

    ``max_batch``: images in a forward pass; None is 32 on a CPU and 64 on a GPU.
    ``queue``: images of all requests in progress.
    ``max_megabytes``: megabytes of one request.
    ``max_megapixels``: megapixels of one image, read from its header.
    ``timeout``: seconds for the body of a request, and again for its answer.
    ``poll``: seconds between checks whether the alias moved.
    ``computing``: the device of the model and its precision.
    ``bodies``: megabytes of the bodies of all requests in progress, at least one request.
    """

    max_batch: int | None = None
    queue: int = 128
    max_megabytes: float = 20.0
    max_megapixels: float = 50.0
    timeout: float = 30.0
    poll: float = 10.0
    runtime: ServingRuntime = "torch"
    computing: Computing = _CPU
    bodies: float = 256.0

    def __post_init__(self) -> None:
        for name in ("max_megabytes", "max_megapixels", "timeout", "poll"):
            value: float = getattr(self, name)
            if not 0 < value <= _LARGEST:  # which NaN is not, either
                option = name.replace("_", "-")
                raise ThawError(f"--{option} {value}: it must be above 0, at most {_LARGEST:.0f}")

    @property
    def batch_size(self) -> int:
        """The largest number of images in a forward pass."""
        return self.max_batch or (_MAX_BATCH_ON_GPU if self.computing.is_gpu else _MAX_BATCH)

    @property
    def max_request_bytes(self) -> int:
        """The largest body of one request, in bytes."""
        return int(self.max_megabytes * 1e6)

    @property
    def max_body_bytes(self) -> int:
        """The largest sum of the bodies of all requests in progress, in bytes."""
        return int(max(self.bodies, self.max_megabytes) * 1e6)
