"""Files of a user in the output folders of a project, which no stage and no checkout may touch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thaw.system.project_paths import MODELS, PREPARED, REPORTS
from thaw.system.stage_names import STAGES, TRAINING_STAGES

if TYPE_CHECKING:
    from pathlib import Path

OUTPUTS = (
    PREPARED,
    *(MODELS / stage for stage in TRAINING_STAGES),
    MODELS / "fold_bn/affine",
    MODELS / "fold_bn/merged",
    *(REPORTS / stage for stage in STAGES),
    REPORTS / "evaluate/plots",
)
NAMES = ("mine.pth", "notes.txt", "mine/a.png", "digits/3/0003.png", "images.raw")


def plant(folder: Path) -> dict[Path, str]:
    """Write files of the user into every output folder; return their contents."""
    written = {}
    for output in OUTPUTS:
        for name in NAMES:
            path = folder / output / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"of the user: {output} {name}")
            written[path] = path.read_text()
    return written


def assert_kept(files: dict[Path, str]) -> None:
    """Fail if a file of the user is missing or has another content."""
    assert {path: path.read_text() for path in files if path.is_file()} == files
