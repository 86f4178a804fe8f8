"""A tiny project with prepared data, weights in a file, and the model of a warm-up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from tests import tiny
from tests.project import ROOT
from thaw.advice.opened_project import open_start
from thaw.config.editing import write_values
from thaw.model import directory, initialization, zoo
from thaw.stages import prepare
from thaw.training.bn_recalibration import recalibrate

PREPARED = Path("data/prepared")
MODELS = Path("models")
NAME = "timm/test_efficientnet"
BLOCKS = 7
CLASSES = 3
SMALL: dict[str, Any] = {
    "data.source": "folder",
    "data.path": "images",
    "prepare.short_side": 32,
    "backbone.name": NAME,
    "backbone.weights": "weights.safetensors",
    "backbone.image_size": 32,
    "unfreeze.depth": 2,
    "unfreeze.batch_size": 8,
    "launch.threads": 1,
}


def make(folder: Path) -> None:
    """Make it in ``folder``, the working directory; the model's statistics are its data's."""
    tiny.images(folder / "images", size=32)
    (folder / "data" / "raw").mkdir(parents=True)
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    write_values(SMALL)
    prepare.main()
    made = zoo._make(NAME, tag=None)
    initialization.scratch(made.network, "he", seed=0)
    save_file(made.network.state_dict(), "weights.safetensors")
    it = open_start(PREPARED, taps=True)
    images = it.data.images("train", it.spec.preprocessing)
    recalibrate(it.runtime, it.classifier, images, seed=0)
    directory.save(it.classifier, it.spec, MODELS / "warmup_head")
