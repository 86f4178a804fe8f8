"""Write pictures to new files that replace the old ones."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from thaw.system.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from PIL.Image import Image


def write_figure(figure: Figure, path: Path, **options: Any) -> None:
    """Write a figure of matplotlib in the format that the end of ``path`` names, else as PNG.

    ``options`` are those of ``Figure.savefig``.

    Raises:
        ThawError: the file cannot be written. The old file is not changed.
        ValueError: matplotlib does not know the format.
    """
    from thaw.system.picture_fonts import complete_fonts

    buffer = io.BytesIO()
    with complete_fonts(figure):
        figure.savefig(buffer, format=path.suffix[1:] or "png", **options)
    write_whole(path, buffer.getvalue())


def write_png(picture: Image, path: Path) -> None:
    """Write an image as PNG.

    Raises:
        ThawError: the file cannot be written. The old file is not changed.
    """
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    write_whole(path, buffer.getvalue())
