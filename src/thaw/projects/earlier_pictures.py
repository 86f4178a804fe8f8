"""Draw pictures that a stage writes now, but did not in the version that wrote its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from thaw.data.prepared import Prepared
from thaw.data.split_names import TRAIN
from thaw.errors import ThawError
from thaw.evaluation.input_picture import INPUTS, draw
from thaw.model import directory
from thaw.model.sealed_files import SPEC
from thaw.system.pictures import write_png
from thaw.system.project_paths import MODELS, PREPARED, REPORTS

if TYPE_CHECKING:
    from pathlib import Path

_MODEL = MODELS / "warmup_head"


def missing_picture() -> Path | None:
    """Return the path of the picture of the network's inputs if only it is missing."""
    path = REPORTS / "warmup_head" / INPUTS
    return path if (_MODEL / SPEC).exists() and not path.exists() else None


def draw_missing_picture() -> None:
    """Draw the picture of the network's inputs if it is missing; without data, say so in it."""
    path = missing_picture()
    if path is None:
        return
    try:
        data = Prepared(PREPARED)
        rows = [row for row in data.manifest.rows if row.split == TRAIN]
        draw(rows, data.store, directory.read_spec(_MODEL).preprocessing, path)
    except (ThawError, OSError, ValueError, LookupError):
        picture = Image.new("RGB", (460, 40), "white")
        text = "The prepared images were not there when this was written."
        ImageDraw.Draw(picture).text((10, 10), text, "black", ImageFont.load_default(13))
        write_png(picture, path)
