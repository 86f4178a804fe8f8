"""Drift scores of the test split and of changed digits: `make bench TARGETS=drift`.

`python -m benchmarks.drift_scores PROJECT` measures a project in which `dvc repro` has run. Without
PROJECT the default pipeline runs in a copy of this repository.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console

from benchmarks.command_line import parser
from benchmarks.datasets.shifted_digits import recolour
from benchmarks.result_tables import markdown
from tests.project import Project
from thaw.data.prepared import Prepared
from thaw.model.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from thaw.data.split_names import SplitName

    Pixels = NDArray[np.uint8]
    Change = Callable[[Pixels, int], Pixels]


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("project", type=Path, nargs="?")
    if given := arguments.parse_args().project:
        measure(given)
        return
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        project.run("dvc", "repro", "fold_bn")
        measure(project.folder)


def measure(project: Path) -> None:
    """Print drift score and accuracy for each kind of images."""
    data = Prepared(project / "data/prepared")
    model = project / "models/fold_bn/merged"
    rows = [
        _row("training images", model, data, "train", _same),
        _row("validation images", model, data, "val", _same),
        _row("test images", model, data, "test", _same),
        _row("a little noise (0.05)", model, data, "test", _noisy(0.05)),
        _row("noise (0.2)", model, data, "test", _noisy(0.2)),
        _row("half as bright", model, data, "test", lambda pixels, _: pixels // 2),
        _row("inverted", model, data, "test", lambda pixels, _: 255 - pixels),
        _row("recoloured and noisy", model, data, "test", _recoloured),
    ]
    markdown(["images", "drift score", "accuracy"], rows, Console())


def _row(title: str, model: Path, data: Prepared, split: SplitName, change: Change) -> list[str]:
    predictor = Predictor(model)
    assert predictor.drift is not None
    ids = data.manifest.ids(split)
    predictor.drift.spread(len(ids))
    right = 0
    for start in range(0, len(ids), 32):
        part = ids[start : start + 32]
        images = [change(data.store.read(int(i)), int(i)) for i in part]
        inputs = predictor.spec.preprocessing.resize(images)
        found = predictor.forward(inputs, watch=True).argmax(1)
        right += int((found == torch.from_numpy(data.manifest.targets[part])).sum())
    return [title, f"{predictor.drift.score:.3f}", f"{right / len(ids):.3f}"]


def _same(pixels: Pixels, _: int) -> Pixels:
    return pixels


def _noisy(deviation: float) -> Change:
    def change(pixels: Pixels, seed: int) -> Pixels:
        noise = np.random.default_rng(seed).normal(0.0, deviation * 255, pixels.shape)
        return np.asarray((pixels + noise).clip(0, 255), dtype=np.uint8)

    return change


def _recoloured(pixels: Pixels, seed: int) -> Pixels:
    return recolour(pixels[..., 0], 0, str(seed))


if __name__ == "__main__":
    main()
