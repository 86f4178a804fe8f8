"""A folder of images to predict, and the rows of the file of predictions."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from tests.registry.served import image

if TYPE_CHECKING:
    from pathlib import Path


def image_folder(folder: Path, count: int) -> Path:
    """Write images in two folders, with names that need quotes."""
    (folder / "sub, ü").mkdir(parents=True)
    for number in range(count):
        below = folder / "sub, ü" if number % 2 else folder
        (below / f"{number:03d}.png").write_bytes(image(number))
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, by the names of its columns."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
