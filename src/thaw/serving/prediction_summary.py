"""The result of `thaw predict`, as lines and as content for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thaw.errors import ProblemsError
from thaw.serving.image_files import problem_lines
from thaw.system.console import print_line, say, warn

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.serving.image_files import FoundImages


@dataclass(frozen=True)
class Summary:
    """The result of a run of `thaw predict`.

    Attributes:
        out: The CSV file.
        model: The name of the model.
        computed: The number of images that this run predicted.
        done_before: The number of images that had a row already.
        found: The images of the folder, and what was skipped there.
        failed: Pairs (path, reason) of images without a row.
        drift: The score, and the number of images that it covers; None if there are too few.
    """

    out: Path
    model: str
    computed: int
    done_before: int
    found: FoundImages
    failed: list[tuple[str, str]]
    drift: tuple[float, int] | None

    @property
    def unreadable(self) -> list[tuple[str, str]]:
        """Return pairs (path, reason) of folders and images that have no row."""
        return [*self.found.skipped_folders, *self.failed]

    def raise_problems(self) -> None:
        """Raise if images have no row.

        Raises:
            ProblemsError: names them; all others are predicted.
        """
        if self.unreadable:
            raise ProblemsError(
                "some images could not be predicted and have no row", problem_lines(self.unreadable)
            )

    def show(self) -> None:
        """Print the number of predictions, and messages about drift and files that were skipped."""
        print_line(f"{self.out}: {self.computed} images predicted")
        if self.drift is not None:
            score, images = self.drift
            scale = "0: as the training images; 1: one standard deviation away"
            say(f"drift: {score:.2f} over {images} images ({scale})")
        if self.found.other_files:
            count = self.found.other_files
            warn(f"{count} files were skipped: their names are not those of images")
        if folders := self.found.system_folders:
            warn(f"{len(folders)} folders that systems add were skipped, for example {folders[0]}")

    def content(self) -> dict[str, Any]:
        """Return the result for JSON."""
        score, images = self.drift or (None, None)
        return {
            "file": self.out,
            "model": self.model,
            "computed": self.computed,
            "done_before": self.done_before,
            "unreadable": dict(self.unreadable),
            "skipped_files": self.found.other_files,
            "skipped_folders": self.found.system_folders,
            "drift": None if score is None else {"score": score, "images": images},
        }
