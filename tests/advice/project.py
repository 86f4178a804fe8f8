"""A tiny project with prepared data, weights in a file, and the model of a warm-up."""

from __future__ import annotations

import shutil
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from tests import tiny
from tests.project import ROOT
from thaw.advice.tournament.head_choice import NOTHING_IS_AUTO, HeadChoice
from thaw.advice.tournament.stage_choices import HeadMethod, write_head_choice
from thaw.config.editing import write_values
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.context import open_context
from thaw.model import directory, initialization, zoo
from thaw.registry.starting_model import starting_model
from thaw.stages import prepare
from thaw.training.bn_recalibration import recalibrate

if TYPE_CHECKING:
    from thaw.context import Context
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

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


_made: list[Path] = []  # an untouched copy of the project that this process has made


def make(folder: Path) -> Path:
    """Make the project in ``folder``, and return it.

    The BatchNorm statistics of the model are those of the data. A process makes it once, and
    copies it for every other folder.
    """
    if not _made:
        with chdir(folder):
            make_new(folder)
        _made.append(folder.with_name(f"copy-of-{folder.name}"))
        shutil.copytree(folder, _made[0])
        return folder
    return Path(shutil.copytree(_made[0], folder, dirs_exist_ok=True))


def make_new(folder: Path) -> None:
    """Make the project in ``folder``, the working directory, in every step."""
    tiny.images(folder / "images", size=32)
    (folder / "data" / "raw").mkdir(parents=True)
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    write_values(SMALL)
    prepare.main()
    made = zoo._create(NAME, tag=None)
    initialization.scratch(made.network, "he", seed=0)
    save_file(made.network.state_dict(), "weights.safetensors")
    context = open_context(load(Params), PREPARED, single_process=True)
    classifier, spec = starting_model(context)
    images = context.data.images("train", spec.preprocessing)
    recalibrate(context.runtime, classifier, images, seed=0)
    directory.save(classifier, spec, MODELS / "warmup_head")
    nothing = HeadChoice({}, [], note=NOTHING_IS_AUTO)
    head = HeadMethod("gradient", "auto", is_compared=False)
    write_head_choice(nothing, head, Path("reports/warmup_head"))


@dataclass(frozen=True)
class Opened:
    """The project and the model of its head warm-up."""

    context: Context
    classifier: Classifier
    spec: ModelSpec


def open_model() -> Opened:
    """Open the project in the working directory, with the model of its head warm-up."""
    context = open_context(load(Params), PREPARED, single_process=True)
    return Opened(context, *directory.load(MODELS / "warmup_head"))
