"""The result of `thaw export`, and its content for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.serving.parity import Comparison


@dataclass(frozen=True)
class Latency:
    """Milliseconds for an image alone, and for one of a batch of ``batch_size`` images."""

    one_image: float
    image_of_batch: float
    batch_size: int


@dataclass(frozen=True)
class Exported:
    """An exported model.

    Attributes:
        out: The file.
        model: The name of the model.
        kind: The format.
        bytes: The size of the file.
        comparison: The file against the model, on images that the file resizes itself.
        graph: The file against the same graph in torch: without the rounding of resized pixels.
        latencies: By name: the model, without its preprocessing, and the file.
    """

    out: Path
    model: str
    kind: str
    bytes: int
    comparison: Comparison
    graph: Comparison
    latencies: dict[str, Latency]

    def content(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return {
            "file": self.out,
            "format": self.kind,
            "model": self.model,
            "bytes": self.bytes,
            "images": self.comparison.images,
            "changed_labels": self.comparison.ties,
            "largest_difference": self.comparison.largest_difference,
            "largest_difference_without_resizing": self.graph.largest_difference,
            "milliseconds": {name: asdict(each) for name, each in self.latencies.items()},
        }
