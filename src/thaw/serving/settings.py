"""Settings of the service, as given on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thaw.serving.runtimes import Runtime


@dataclass(frozen=True)
class Settings:
    """Limits and runtime of the service.

    ``max_batch``: images in a forward pass.
    ``queue``: images of all requests in progress.
    ``max_megabytes``: megabytes of one request.
    ``max_megapixels``: megapixels of one image, read from its header.
    ``timeout``: seconds for the body of a request, and again for its answer.
    ``poll``: seconds between checks whether the alias moved.
    ``bodies``: megabytes of the bodies of all requests in progress, at least one request.
    """

    max_batch: int = 32
    queue: int = 128
    max_megabytes: float = 20.0
    max_megapixels: float = 50.0
    timeout: float = 30.0
    poll: float = 10.0
    runtime: Runtime = "torch"
    bodies: float = 256.0

    @property
    def max_request_bytes(self) -> int:
        """The largest body of one request, in bytes."""
        return int(self.max_megabytes * 1e6)

    @property
    def max_body_bytes(self) -> int:
        """The largest sum of the bodies of all requests in progress, in bytes."""
        return int(max(self.bodies, self.max_megabytes) * 1e6)
