"""Print the results of `thaw predict` and `thaw export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from thaw.system.console import ResultConsole, print_line, say, warn
from thaw.system.quantities import quantity

if TYPE_CHECKING:
    from thaw.serving.export_result import Exported
    from thaw.serving.prediction_summary import Summary


def print_predictions(summary: Summary) -> None:
    """Print the number of predictions, and messages about drift and files that were skipped."""
    print_line(f"{summary.out}: {quantity(summary.computed, 'image')} predicted")
    if summary.drift is not None:
        score, images = summary.drift
        scale = "0: as the training images; 1: one standard deviation away"
        say(f"drift: {score:.2f} over {images} images ({scale})")
    if summary.found.other_files:
        files = quantity(summary.found.other_files, "file was", "files were")
        warn(f"{files} skipped: not named like an image")
    if folders := summary.found.system_folders:
        skipped = quantity(len(folders), "folder was", "folders were")
        warn(f"{skipped} skipped, because systems add them, for example {folders[0]}")


def print_export(exported: Exported) -> None:
    """Print the latencies and how near the file is to the model."""
    batch = next(iter(exported.latencies.values())).batch_size
    table = Table("", "1 image, ms", f"{batch} images, ms per image")
    for name, latency in exported.latencies.items():
        label = f"{name}, resized" if name == exported.model else name
        table.add_row(Text(label), f"{latency.one_image:.2f}", f"{latency.image_of_batch:.2f}")
    ResultConsole().print(table)
    found = exported.comparison
    ties = f"{quantity(found.ties, 'label')} changed between nearly equal classes"
    changed = ties if found.ties else "no label changed"
    say(
        f"{exported.out}: {exported.bytes / 1e6:.1f} MB; equal on {found.images} images: "
        f"{changed}, no probability differs by more than {found.largest_difference:.1g} "
        f"({exported.graph.largest_difference:.1g} without the rounding of resized pixels)"
    )
