"""The result of `thaw predict`, and its content for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thaw.errors import ProblemsError
from thaw.serving.image_files import problem_lines

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
