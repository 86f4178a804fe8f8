"""What the service is told on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thaw.serving.runtimes import Runtime


@dataclass(frozen=True)
class Settings:
    """The limits; what may be waited for is in seconds, ``queue`` in images.

    ``bodies`` is in megabytes: of all requests inside together, or of one that is larger.
    """

    max_batch: int = 32
    queue: int = 128
    max_megabytes: float = 20.0
    max_megapixels: float = 50.0
    timeout: float = 30.0
    poll: float = 10.0
    runtime: Runtime = "torch"
    bodies: float = 256.0
