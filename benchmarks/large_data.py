"""Many images: the speed of prepare against Pillow alone; growth and memory of the stages.

Speed: JPEGs of several sizes, alternately by `prepare` and by Pillow alone in one process per core.
Other work on the machine changes the processor time of an image less than the images a second.
Growth and memory: all stages on 1,000, 10,000 and 100,000 small JPEGs, with a tiny network that is
trained for one epoch in `warmup_head`, and in `unfreeze` as a whole; `prepare` also on the same
images in tar shards and named by a CSV file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from benchmarks.command_line import parser
from benchmarks.stage_costs import Cost, processor_seconds, stage_cost
from thaw.system.launching import ENVIRONMENT
from thaw.system.processes import cores

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

_SHORT_SIDE = 256
_SIZES = ((320, 256, 1500), (800, 600, 700), (2048, 1536, 200))  # width, height, images
_ROUNDS = 5
_CLASSES = 10
_NUMBERS = (1_000, 10_000, 100_000)
_SMALL = 8  # pixels on a side
_STAGES = ("warmup_head", "unfreeze", "fold_bn", "evaluate")
_SOURCES = {
    "folder": "{source: folder, path: raw}",
    "csv": "{source: csv, path: raw.csv, root: raw}",
    "shards": "{source: webdataset, path: shards}",
}
_PER_SHARD = 1_000  # images
_PARAMS = """
backbone: {name: timm/test_efficientnet, weights: none, image_size: 16, framing: crop}
head: {taps: []}
warmup_head: {epochs: 1, fit: gradient}
unfreeze: {epochs: 1, depth: 7}
fold_bn: {epochs: 0}
"""


def main() -> None:
    """Print two tables; the milliseconds of the second one are of processor time."""
    options = _options()
    if options.part:
        {"pillow": _pillow, "prepare": _prepare}[options.part](options.folder, options.jpeg_pixels)
        return
    if not options.growth:
        _print_speeds()
    title = f"{'stage':16} {'images':>8} {'seconds':>8} {'ms an added image':>18}"
    print(f"\n{title} {'peak MB':>8} {'with others':>12}")
    before: dict[str, tuple[int, float]] = {}
    for number in _NUMBERS[:-1] if options.quick else _NUMBERS:
        with tempfile.TemporaryDirectory() as folder:
            for name, cost in _costs_of_stages(Path(folder), number):
                fewer, seconds = before.get(name, (0, cost.processor))
                added = 1000 * (cost.processor - seconds) / (number - fewer)
                before[name] = (number, cost.processor)
                print(
                    f"{name:16} {number:8} {cost.seconds:8.1f} {added:18.3f} "
                    f"{cost.peak / 1e6:8.1f} {cost.together / 1e6:12.1f}",
                    flush=True,
                )


def _costs_of_stages(folder: Path, number: int) -> Iterator[tuple[str, Cost]]:
    """Run `prepare` with each source, and the other stages with the last one: images in folders."""
    _write_small(folder / "raw", number)
    _write_table(folder)
    _write_shards(folder)
    for source in ("shards", "csv", "folder"):
        (folder / "params.yaml").write_text(f"data: {_SOURCES[source]}{_PARAMS}")
        yield f"prepare {source}", stage_cost(folder, "prepare")
    for stage in _STAGES:
        yield stage, stage_cost(folder, stage)


def _options() -> Namespace:
    options = parser(__doc__)
    only = options.add_mutually_exclusive_group()
    only.add_argument("--growth", action="store_true", help="no comparison with Pillow")
    options.add_argument("--quick", action="store_true", help="at most 10,000 small images")
    only.add_argument("--part", choices=["pillow", "prepare"], help="one side, of these images:")
    options.add_argument("--folder", type=Path)
    options.add_argument("--jpeg-pixels", choices=["reduced", "all"], default="all")
    return options.parse_args()


def _print_speeds() -> None:
    print(f"{cores()} cores. Images a second, and milliseconds of processor time for an image:")
    print(f"{'size':12} {'JPEGs':8}" + f"{'Pillow':>9}{'prepare':>9}{'ratio':>9}" * 2)
    for (width, height, count), jpeg_pixels in product(_SIZES, ("reduced", "all")):
        with tempfile.TemporaryDirectory() as folder:
            _write_photos(Path(folder) / "raw", width, height, count)
            pillow, prepared = _costs(Path(folder), jpeg_pixels)
        ratios = [
            median(one[kind] / other[kind] for one, other in zip(pillow, prepared, strict=True))
            for kind in range(2)
        ]
        rates = [count / median(cost[0] for cost in costs) for costs in (pillow, prepared)]
        each = [1000 * median(cost[1] for cost in costs) / count for costs in (pillow, prepared)]
        numbers = (*rates, ratios[0], *each, ratios[1])
        name = f"{f'{width} x {height}':12} {jpeg_pixels:8}"
        print(name, *(f"{number:8.2f}" for number in numbers), flush=True)


def _write_photos(root: Path, width: int, height: int, count: int) -> None:
    """Write JPEGs with large and small structures, of usual size in bytes."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width + 64, height + 64), Image.Resampling.BICUBIC)
    noise = generator.integers(-12, 12, (height + 64, width + 64, 3))
    whole = (np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8)
    for number in range(count):
        top, left = number % 64, number // 64 % 64
        path = root / f"class{number % _CLASSES}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(whole[top : top + height, left : left + width]).save(path, quality=85)


def _write_small(root: Path, count: int) -> None:
    generator = np.random.default_rng(0)
    for label in range(_CLASSES):
        (root / f"class{label}").mkdir(parents=True)
    for number in range(count):
        pixels = generator.integers(0, 256, (_SMALL, _SMALL, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"class{number % _CLASSES}" / f"{number:07d}.jpg")


def _write_table(folder: Path) -> None:
    """Write a CSV file that names the images in ``folder``."""
    with (folder / "raw.csv").open("w") as stream:
        stream.write("path,label\n")
        for path in sorted((folder / "raw").rglob("*.jpg")):
            stream.write(f"{path.relative_to(folder / 'raw')},{path.parent.name}\n")


def _write_shards(folder: Path) -> None:
    """Write the images in ``folder`` into tar shards of the webdataset format."""
    (folder / "shards").mkdir()
    files = sorted((folder / "raw").rglob("*.jpg"))
    for start in range(0, len(files), _PER_SHARD):
        with tarfile.open(folder / "shards" / f"{start:07d}.tar", "w") as shard:
            for path in files[start : start + _PER_SHARD]:
                shard.add(path, path.name)
                label = tarfile.TarInfo(f"{path.stem}.cls")
                label.size = len(path.parent.name)
                shard.addfile(label, io.BytesIO(path.parent.name.encode()))


def _costs(folder: Path, jpeg_pixels: str) -> tuple[list[list[float]], list[list[float]]]:
    """Return the seconds and processor seconds of each round, of Pillow alone and of prepare.

    Imports are not counted.
    """
    own = [sys.executable, "-m", "benchmarks.large_data"]
    costs: dict[str, list[list[float]]] = {"pillow": [], "prepare": []}
    for _ in range(_ROUNDS):
        for side, measured in costs.items():
            result = subprocess.run(
                [*own, "--part", side, "--folder", str(folder), "--jpeg-pixels", jpeg_pixels],
                env={**os.environ, **ENVIRONMENT},
                stdout=subprocess.PIPE,
                check=True,
            )
            measured.append(json.loads(result.stdout))
    return costs["pillow"], costs["prepare"]


@contextlib.contextmanager
def _timed() -> Iterator[None]:
    """Print the seconds and the processor seconds of the block, whose processes have ended."""
    start, before = time.perf_counter(), time.process_time() + processor_seconds()
    yield
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, time.process_time() + processor_seconds() - before]))


def _pillow(folder: Path, jpeg_pixels: str) -> None:
    """Decode and resize all images as `prepare` does, with an array of each as the result."""
    decode = partial(_decoded, reduced=jpeg_pixels == "reduced")
    files = sorted((folder / "raw").rglob("*.jpg"))
    with _timed(), ProcessPoolExecutor(cores()) as pool:
        sum(pool.map(decode, files, chunksize=16))


def _decoded(path: Path, *, reduced: bool) -> int:
    image = Image.open(io.BytesIO(path.read_bytes()))
    scale = _SHORT_SIDE / min(image.size)
    if scale < 1 and reduced:
        image.draft(None, (round(image.width * scale) + 1, round(image.height * scale) + 1))
    scale = _SHORT_SIDE / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return len(np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC)))


def _prepare(folder: Path, jpeg_pixels: Literal["reduced", "all"]) -> None:
    from thaw.config.prepare_section import Prepare
    from thaw.ingest.folder_source import list_folder
    from thaw.ingest.packing import pack

    out = folder / "out"
    out.mkdir(exist_ok=True)
    config = Prepare(short_side=_SHORT_SIDE, jpeg_pixels=jpeg_pixels)
    scratch = folder / "scratch"
    with _timed():
        pack(config, list_folder(folder / "raw"), out, scratch)


if __name__ == "__main__":
    main()
