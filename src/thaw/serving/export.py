"""Export a model to a file for another runtime (`thaw export`)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch

from thaw.config import overlaps
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving.export_formats import (
    ENDINGS,
    WholeGraph,
    check_packages,
    export,
    load_exported,
)
from thaw.serving.export_result import Exported, Latency
from thaw.serving.image_files import find_images, read_image, refuse_output
from thaw.serving.input_graph import reads_all_pixels
from thaw.serving.model_uri import local_model
from thaw.serving.output_names import refuse_other_format
from thaw.serving.parity import compare_from_files
from thaw.system.bounded_pool import map_in_order
from thaw.system.console import progress
from thaw.system.files import write_whole
from thaw.system.timing import median_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

    from thaw.data.image_reader import ImageReader
    from thaw.literals import ExportFormat

    Compute = Callable[[Tensor], Tensor]

_CPU = torch.device("cpu")
_BATCH_SIZE = 16
_MAX_IMAGES = 1000  # in the comparison
_MOST_MEGAPIXELS = 16.0  # of an image in the comparison
# Pixels of a side of the image whose latency is measured: a batch of photos takes gigabytes.
_MOST_SIDE = 512
_ROUNDS = 15
_WARM_UP = 2
_UNWRITTEN = "nothing was written: choose the other --format, and report this"
# Parts of the JSON that export_formats.export writes into every file.
_MARKS = (b'"digest": "', b'"preprocessing": {')


def export_model(
    model_uri: str,
    kind: ExportFormat,
    out: Path,
    folder: Path | None,
    prepared: Path,
    device: torch.device = _CPU,
) -> Exported:
    """Write a model to ``out``, after a comparison on real images.

    The images are those of ``folder``, by default those of the test split in ``prepared``. The
    model computes on ``device``, the exported file on the CPU.

    Raises:
        ThawError: there is no such model or no image, a package is missing, ``out`` must not be
            replaced, or the exported model differs. Then nothing is written.
    """
    refuse_output(model_uri, folder, out)
    refuse_other_format(out, ENDINGS[kind])
    check_packages(kind, f"--format {kind}")
    overlaps.refuse_to_replace(out, "--out", _MARKS, "an exported model")
    with local_model(model_uri) as model:
        predictor = Predictor(model.folder)
        compared = Predictor(model.folder, device=device) if device != _CPU else predictor
    about = {
        "model": model.name,
        "digest": predictor.spec.digest,
        "classes": predictor.classes,
        "input": "upright RGB, uint8 (N, 3, H, W), any size: the file resizes and normalises",
        "preprocessing": predictor.spec.preprocessing.model_dump(),
    }
    pairs, count = _real_images(predictor.reader, folder, prepared)
    first = next(pairs, None)
    if first is None:
        raise ThawError(
            f"{folder or prepared}: no image could be read: give a folder of images with --images"
        )
    content = export(predictor, kind, about)
    compute = load_exported(kind, content, torch.get_num_threads())
    with torch.inference_mode():
        exact, found = compare_from_files(
            compared.forward,
            WholeGraph(predictor).eval(),
            compute,
            progress(chain([first], pairs), "comparing", count),
            has_same_pixels=reads_all_pixels(predictor.spec.preprocessing),
        )
    exact.check(_UNWRITTEN)
    found.check(_UNWRITTEN)
    write_whole(out, content)
    latencies = {
        model.name: _latency(compared.forward, first[0]),
        kind: _latency(compute, first[1][..., :_MOST_SIDE, :_MOST_SIDE]),
    }
    return Exported(out, model.name, kind, len(content), found, exact, latencies)


def _real_images(
    reader: ImageReader, folder: Path | None, prepared: Path
) -> tuple[Iterator[tuple[Tensor, Tensor]], int]:
    """Return images, evenly spaced over all, as they are read, and how many they are at most.

    Each is framed (1, 3, S, S) and original (1, 3, H, W), uint8.

    Raises:
        ThawError: there is no folder, or no image in it.
    """
    if folder is not None:
        paths = find_images(folder).paths
        chosen = [paths[place] for place in _evenly_spaced(len(paths))]
        limited = replace(reader, max_megapixels=min(reader.max_megapixels, _MOST_MEGAPIXELS))
        read = partial(_read_pair, folder.resolve(), limited)
        pairs = map_in_order(read, chosen, pending_per_core=2)
        return (pair for pair in pairs if pair is not None), len(chosen)
    if not prepared.is_dir():
        raise ThawError(f"{prepared} is missing, so there is no test split: give --images FOLDER")
    data = Prepared(prepared)
    ids = data.manifest.ids("test")
    ids = ids[_evenly_spaced(len(ids))]
    return (_prepared_pair(reader, data, int(image_id)) for image_id in ids), len(ids)


def _prepared_pair(reader: ImageReader, data: Prepared, image_id: int) -> tuple[Tensor, Tensor]:
    """Return a prepared image as :func:`_real_images` does."""
    pixels = data.store.read(image_id)
    original = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)
    return reader.preprocessing.resize([pixels]), original


def _read_pair(root: Path, reader: ImageReader, path: str) -> tuple[Tensor, Tensor] | None:
    """Return an image of a folder as :func:`_real_images` does; None if it cannot be read."""
    framed = read_image(root, reader, path)
    if isinstance(framed, str):
        return None
    return framed, reader.read_original((root / path).read_bytes())


def _evenly_spaced(count: int) -> np.typing.NDArray[np.int64]:
    return np.linspace(0, count - 1, min(_MAX_IMAGES, count)).astype(np.int64)


def _latency(compute: Compute, images: Tensor) -> Latency:
    """Return the latency of ``compute`` for the image ``images`` (1, 3, H, W)."""
    several = images.expand(_BATCH_SIZE, -1, -1, -1).contiguous()
    one = median_milliseconds(partial(compute, images), _ROUNDS, _WARM_UP)
    batch = median_milliseconds(partial(compute, several), _ROUNDS, _WARM_UP)
    return Latency(one, batch / _BATCH_SIZE, _BATCH_SIZE)
