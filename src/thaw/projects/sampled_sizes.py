"""The sizes of a sample of the images, read from the headers of their files, and what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from thaw.data.header_sizes import size_of_file
from thaw.data.limits import shape_problem
from thaw.data.pack_resolution import PixelSize
from thaw.ingest.listing import BadFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thaw.ingest.listing import Listing, Sample

_SAMPLE = 400  # images at least, whose size is read


def sampled(found: Listing) -> Sequence[Sample]:
    """Return every image of a small set, and 400 to 799 images of a large one."""
    return found.samples[:: max(1, len(found.samples) // _SAMPLE)]


def sampled_sizes(found: Listing) -> dict[str, PixelSize]:
    """Return the sizes of a sample of the images by path, read from their headers."""
    sizes = {}
    for sample in sampled(found):
        path = found.root / sample.path
        try:
            if path.is_file():  # opening a named pipe would wait for ever
                sizes[sample.path] = PixelSize(*size_of_file(path))
        except (OSError, ValueError, Image.DecompressionBombError):
            continue  # `prepare` names every image that cannot be read
    return sizes


def shape_problems(found: Listing, sizes: Mapping[str, PixelSize]) -> list[str]:
    """Return a line for each image of a shape that ``prepare`` refuses."""
    named = ((path, shape_problem(*size)) for path, size in sizes.items())
    return [BadFile(path, reason).line(found.root) for path, reason in named if reason]
