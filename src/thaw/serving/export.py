"""`thaw export`: a file for another runtime, the proof that it computes the same, and how fast."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
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
from thaw.serving.batch_prediction import images_below, read_below, refuse_out
from thaw.serving.export_formats import need, runner, written
from thaw.serving.model_uri import located
from thaw.serving.parity import prove
from thaw.system.console import progress, say
from thaw.system.files import write_whole
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor

    from thaw.serving.export_formats import Format

_BATCH = 16
_ROUNDS = 15
_MOST = 1000  # images in the proof
# Of the JSON that `about` becomes: formats.written puts it into every file.
_MARKS = (b'"digest": "', b'"preprocessing": {')


def export_model(model: str, kind: Format, out: Path, folder: Path | None, prepared: Path) -> None:
    """Write ``model`` to ``out``, proved on the images of ``folder``, else on the test split.

    Raises:
        ThawError: no such model or images, a package is missing, ``out`` is another file or a
            bad place, or the proof fails: then nothing is written.
    """
    need(kind, f"--format {kind}")
    refuse_out(model, folder, out)
    overlaps.refuse_to_replace(out, "--out", _MARKS, "an exported model")
    with located(model) as found:
        predictor = Predictor(found.folder)
    about = {
        "model": found.name,
        "digest": predictor.spec.digest,
        "classes": predictor.classes,
        "preprocessing": predictor.spec.preprocessing.model_dump(),
    }
    batches = list(_real_images(predictor, folder, prepared))
    content = written(predictor, kind, about)
    run = runner(kind, content, torch.get_num_threads())
    proof = prove(predictor.forward, run, progress(batches, "comparing", len(batches)))
    proof.check("nothing was written")
    write_whole(out, content)
    _show(kind, found.name, predictor, run, torch.cat(batches)[:_BATCH])
    say(
        f"{out}: {len(content) / 1e6:.1f} MB; equal on {proof.images} images: no label changed, "
        f"no probability moved by more than {proof.largest_move:.1g}"
    )


def _real_images(predictor: Predictor, folder: Path | None, prepared: Path) -> Iterator[Tensor]:
    """Batches of resized images, uint8 (N, 3, S, S), evenly spaced over what there is.

    Raises:
        ThawError: there are none.
    """
    if folder is None:
        if not prepared.is_dir():
            raise ThawError(f"{prepared} is not there to prove the export on: give --images FOLDER")
        source = Prepared(prepared).images("test", predictor.spec.preprocessing)
        chosen = _spaced(len(source))
        for start in range(0, len(chosen), _BATCH):
            yield source.read(chosen[start : start + _BATCH])
        return
    paths, _ = images_below(folder)
    chosen_paths = [paths[place] for place in _spaced(len(paths))]
    root = folder.resolve()
    with ThreadPoolExecutor(cores()) as pool:
        read = list(pool.map(partial(read_below, root, predictor), chosen_paths))
    images = [image for image in read if not isinstance(image, str)]
    if not images:
        raise ThawError(f"{folder}: no image could be read")
    for start in range(0, len(images), _BATCH):
        yield torch.cat(images[start : start + _BATCH])


def _spaced(count: int) -> np.typing.NDArray[np.int64]:
    return np.linspace(0, count - 1, min(_MOST, count)).astype(np.int64)


def _show(
    kind: Format, name: str, predictor: Predictor, run: Callable[[Tensor], Tensor], images: Tensor
) -> None:
    table = Table("", "1 image, ms", f"{len(images)} images, ms an image")
    for title, compute in ((name, predictor.forward), (kind, run)):
        one, many = latency(compute, images[:1]), latency(compute, images)
        table.add_row(title, f"{one:.2f}", f"{many / len(images):.2f}")
    Console().print(table)


def latency(compute: Callable[[Tensor], Tensor], images: Tensor) -> float:
    """The median time of a call, in milliseconds."""
    seconds = []
    for _ in range(_ROUNDS + 2):
        start = time.perf_counter()
        compute(images)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:]) * 1e3
