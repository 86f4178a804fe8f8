"""Training on a CPU with batches that a thread prepares: `make bench TARGETS=prefetching`.

It compares epochs of training EfficientNet-Lite0 (all blocks, 224 px, batches of 32) on packed
images of 320 x 256 pixels, with `resources.workers: 0`: batches are prepared between the steps, as
thaw does on a CPU, or by a thread. The epochs alternate. Order and bits of the batches are
compared, too. The CPU time of both parts says how much there is to gain.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from benchmarks.command_line import parser
from benchmarks.result_tables import markdown
from tests import settings
from thaw.data.batches import batches
from thaw.data.loading import ImageSource, batch_parts
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import PackedStore
from thaw.data.prefetching import prefetched
from thaw.data.preprocessing import Preprocessing
from thaw.model import zoo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thaw.data.batches import Batch

_SIZE, _BATCH = 224, 32
_CPU = torch.device("cpu")
_AUGMENT = settings.augment(crop=0.5, flip=0.5, brightness=0.2, contrast=0.2)


def main() -> None:
    """Measure and print the table."""
    accepted = parser(__doc__)
    accepted.add_argument("--images", type=int, default=256)
    accepted.add_argument("--rounds", type=int, default=3)
    options = accepted.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = _source(Path(scratch), options.images)
        for one, two in zip(_epoch(source, 1), prefetched(_epoch(source, 1), 2), strict=True):
            assert torch.equal(one.inputs, two.inputs)
            assert one.indices.tolist() == two.indices.tolist()
        backbone, _ = zoo.load(
            settings.backbone("timm/tf_efficientnet_lite0", weights="packaged", image_size=_SIZE)
        )
        network = nn.Sequential(*backbone.blocks).to(memory_format=torch.channels_last).train()
        between, ahead = [], []
        _seconds(network, _epoch(source, 1))  # allocates memory
        for number in range(options.rounds):
            between.append(_seconds(network, _epoch(source, number)))
            ahead.append(_seconds(network, prefetched(_epoch(source, number), 2)))
    rates = [options.images / statistics.median(seconds) for seconds in (between, ahead)]
    rows = [
        ["between the steps", f"{rates[0]:.1f}", "1"],
        ["by a thread, two batches ahead", f"{rates[1]:.1f}", f"{rates[1] / rates[0]:.2f}"],
    ]
    loading, training = _cpu_seconds(network, source)
    Console().print(
        f"CPU time of an image: {1e3 * loading / options.images:.1f} ms to prepare it, "
        f"{1e3 * training / options.images:.1f} ms to train on it"
    )
    markdown(["batches are prepared", "images/s", "ratio"], rows, Console())


def _source(folder: Path, count: int) -> ImageSource:
    generator = np.random.default_rng(0)
    with PackWriter(folder, settings.prepare(encoding="raw", short_side=256)) as writer:
        for _ in range(count):
            coarse = generator.integers(0, 256, (16, 20, 3), dtype=np.uint8)
            writer.add(np.asarray(Image.fromarray(coarse).resize((320, 256))))
    preprocessing = Preprocessing(
        short_side=256,
        max_megapixels=100.0,
        image_size=_SIZE,
        crop_pct=0.875,
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.2, 0.2, 0.2),
    )
    ids = np.arange(count)
    return ImageSource(PackedStore(folder), ids, np.zeros_like(ids), preprocessing, 0, _AUGMENT)


def _epoch(source: ImageSource, epoch: int) -> Iterator[Batch]:
    return batches(source, batch_parts(np.arange(len(source)), _BATCH), _CPU, epoch=epoch)


def _cpu_seconds(network: nn.Module, source: ImageSource) -> tuple[float, float]:
    """Return the CPU seconds of an epoch that are spent on batches, and those on training."""
    begun = time.process_time()
    for _ in _epoch(source, 1):
        pass
    loading = time.process_time() - begun
    begun = time.process_time()
    _seconds(network, _epoch(source, 1))
    return loading, time.process_time() - begun - loading


def _seconds(network: nn.Module, loaded: Iterator[Batch]) -> float:
    begun = time.perf_counter()
    for batch in loaded:
        network(batch.inputs).square().mean().backward()
        for parameter in network.parameters():
            parameter.grad = None
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
