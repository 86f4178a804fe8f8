"""The result of `thaw export`, as a table and lines, and as content for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from thaw.system.console import ResultConsole, say

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

    def show(self) -> None:
        """Print the latencies and how near the file is to the model."""
        batch = next(iter(self.latencies.values())).batch_size
        table = Table("", "1 image, ms", f"{batch} images, ms per image")
        for name, latency in self.latencies.items():
            label = f"{name}, resized" if name == self.model else name
            table.add_row(label, f"{latency.one_image:.2f}", f"{latency.image_of_batch:.2f}")
        ResultConsole().print(table)
        found = self.comparison
        changed = (
            f"{found.ties} labels changed between nearly equal classes"
            if found.ties
            else "no label changed"
        )
        say(
            f"{self.out}: {self.bytes / 1e6:.1f} MB; equal on {found.images} images: {changed}, no "
            f"probability differs by more than {found.largest_difference:.1g} "
            f"({self.graph.largest_difference:.1g} without the rounding of resized pixels)"
        )

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
