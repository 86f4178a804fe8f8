"""Export a model to a file for another runtime (`thaw export`)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from thaw.config import overlaps
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving.export_formats import check_packages, export, load_exported
from thaw.serving.image_files import find_images, read_image, refuse_output
from thaw.serving.model_uri import local_model
from thaw.serving.parity import compare
from thaw.system.bounded_pool import map_in_order
from thaw.system.console import progress, say
from thaw.system.files import write_whole
from thaw.system.timing import median_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

    from thaw.serving.export_formats import Format

    Compute = Callable[[Tensor], Tensor]

_CPU = torch.device("cpu")
_BATCH_SIZE = 16
_MAX_IMAGES = 1000  # in the comparison
_ROUNDS = 15
_WARM_UP = 2
# Parts of the JSON that export_formats.export writes into every file.
_MARKS = (b'"digest": "', b'"preprocessing": {')


def export_model(
    model_uri: str,
    kind: Format,
    out: Path,
    folder: Path | None,
    prepared: Path,
    device: torch.device = _CPU,
) -> None:
    """Write a model to ``out``, after a comparison on real images.

    The images are those of ``folder``, by default those of the test split in ``prepared``. The
    model computes on ``device``, the exported file on the CPU.

    Raises:
        ThawError: there is no such model or no image, a package is missing, ``out`` must not be
            replaced, or the exported model differs. Then nothing is written.
    """
    check_packages(kind, f"--format {kind}")
    refuse_output(model_uri, folder, out)
    overlaps.refuse_to_replace(out, "--out", _MARKS, "an exported model")
    with local_model(model_uri) as model:
        predictor = Predictor(model.folder)
        compared = Predictor(model.folder, device=device) if device != _CPU else predictor
    about = {
        "model": model.name,
        "digest": predictor.spec.digest,
        "classes": predictor.classes,
        "preprocessing": predictor.spec.preprocessing.model_dump(),
    }
    batches = list(_real_images(predictor, folder, prepared))
    content = export(predictor, kind, about)
    compute = load_exported(kind, content, torch.get_num_threads())
    comparison = compare(compared.forward, compute, progress(batches, "comparing", len(batches)))
    comparison.check("nothing was written")
    write_whole(out, content)
    _show_latency({model.name: compared.forward, kind: compute}, torch.cat(batches)[:_BATCH_SIZE])
    say(
        f"{out}: {len(content) / 1e6:.1f} MB; equal on {comparison.images} images: no label "
        f"changed, no probability differs by more than {comparison.largest_difference:.1g}"
    )


def _real_images(predictor: Predictor, folder: Path | None, prepared: Path) -> Iterator[Tensor]:
    """Yield batches of resized images, uint8 (N, 3, S, S), evenly spaced over the images.

    Raises:
        ThawError: there are none.
    """
    if folder is not None:
        yield from _images_of_folder(predictor, folder)
        return
    if not prepared.is_dir():
        raise ThawError(f"{prepared} is missing, so there is no test split: give --images FOLDER")
    source = Prepared(prepared).images("test", predictor.spec.preprocessing)
    chosen = _evenly_spaced(len(source))
    for start in range(0, len(chosen), _BATCH_SIZE):
        yield source.read(chosen[start : start + _BATCH_SIZE])


def _images_of_folder(predictor: Predictor, folder: Path) -> Iterator[Tensor]:
    paths = find_images(folder).paths
    chosen = [paths[place] for place in _evenly_spaced(len(paths))]
    read = map_in_order(
        partial(read_image, folder.resolve(), predictor.reader), chosen, pending_per_core=2
    )
    images = [image for image in read if not isinstance(image, str)]
    if not images:
        raise ThawError(f"{folder}: no image could be read")
    for start in range(0, len(images), _BATCH_SIZE):
        yield torch.cat(images[start : start + _BATCH_SIZE])


def _evenly_spaced(count: int) -> np.typing.NDArray[np.int64]:
    return np.linspace(0, count - 1, min(_MAX_IMAGES, count)).astype(np.int64)


def _show_latency(models: dict[str, Compute], images: Tensor) -> None:
    table = Table("", "1 image, ms", f"{len(images)} images, ms per image")
    for name, compute in models.items():
        one = median_milliseconds(partial(compute, images[:1]), _ROUNDS, _WARM_UP)
        batch = median_milliseconds(partial(compute, images), _ROUNDS, _WARM_UP)
        table.add_row(name, f"{one:.2f}", f"{batch / len(images):.2f}")
    Console().print(table)
