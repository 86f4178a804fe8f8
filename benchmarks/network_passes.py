"""Print as JSON the seconds of a forward pass, a head warm-up and a training epoch.

``pipeline.py`` runs this in a folder with prepared data, as ``network_passes.py MEMORY_FORMAT
IMAGE_SIZE [training]``. The forward pass uses the network as its library builds it, with unmerged
BatchNorms. Each number is the median over several rounds; each round measures everything once, so
that a slow minute of the machine affects all of them. ``ratio`` is the median of the head warm-up
divided by the forward pass of the same round.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.command_line import parser
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.data.loading import ImageSource
from thaw.data.prepared import Prepared
from thaw.model import directory
from thaw.model.freeze_plan import last_blocks
from thaw.model.freezing import apply_plan
from thaw.training.activation_cache import cache_of
from thaw.training.checkpoints import Checkpoints
from thaw.training.loop import fit
from thaw.training.observer import Observer
from thaw.training.phase_inputs import PhaseInputs, phase_inputs
from thaw.training.runtime import forward_all, start
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.data.loading import Source

_ROUNDS = 5


def main() -> None:
    """Measure and print one line of JSON."""
    arguments = parser(__doc__)
    arguments.add_argument("memory_format", choices=["channels_last", "contiguous"])
    arguments.add_argument("image_size", type=int)
    arguments.add_argument("training", choices=["training"], nargs="?")
    given = arguments.parse_args()
    params = load(Params)
    runtime = start(params.launch, params.resources)
    data = Prepared(Path("data/prepared"))
    classifier, spec = directory.load(Path("models/warmup_head"))
    preprocessing = spec.preprocessing.model_copy(update={"image_size": given.image_size})
    train = data.images("train", preprocessing)
    val = data.images("val", preprocessing)
    if given.memory_format == "contiguous":
        classifier = classifier.to(memory_format=torch.contiguous_format)
        for source in (train, val):
            source.__class__ = _Contiguous
    depth = len(classifier.blocks)

    def forward(source: Source) -> None:
        for _ in forward_all(runtime, classifier, source, ""):
            pass

    def trained(depth: int, epochs: int, inputs: PhaseInputs, folder: Path) -> None:
        apply_plan(classifier, last_blocks(depth, len(classifier.blocks), "train"))
        settings = params.warmup_head if depth == 0 else params.unfreeze
        settings = settings.model_copy(update={"epochs": epochs, "patience": epochs})
        setup = TrainingSetup(settings, params.regularize, seed=0)
        fit(runtime, classifier, inputs, setup, Observer(Checkpoints(folder, "bench")))

    def warmup(folder: Path) -> None:
        cache = cache_of(folder, data, preprocessing, params.resources.cache_gb)
        inputs = phase_inputs(runtime, classifier, train, val, depth, cache)
        trained(0, 20, inputs, folder)

    images = PhaseInputs(train, val, 0)
    works: dict[str, Callable[[Path], None]] = {
        "forward": lambda _: forward(train),
        "validation": lambda _: forward(val),
        "warmup": warmup,
    }
    if given.training:
        works["naive_epoch"] = lambda folder: trained(0, 1, images, folder)
        works["training"] = lambda folder: trained(depth, 1, images, folder)
    forward(train)
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(_ROUNDS)]
    result = {name: statistics.median(one[name] for one in rounds) for name in works}
    result["ratio"] = statistics.median(one["warmup"] / one["forward"] for one in rounds)
    print(json.dumps(result))


class _Contiguous(ImageSource):
    """Inputs in torch's default memory format, which most training scripts use."""

    def finish(self, inputs: Tensor, places: NDArray[np.int64], epoch: int | None) -> Tensor:
        return super().finish(inputs, places, epoch).contiguous()


def seconds(work: Callable[[Path], None]) -> float:
    """Return the seconds of one round of ``work`` in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        work(Path(folder))
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
