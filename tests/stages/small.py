"""A model directory and prepared data that stages run on in the tests' own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from tests import settings
from tests.training import phase
from thaw.data import manifest
from thaw.data.manifest import Row
from thaw.data.pack_writer import PackWriter
from thaw.model import directory, zoo
from thaw.model.assembly import assemble
from thaw.model.spec import ModelSpec, Parent
from thaw.system import project_paths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BACKBONE = "timm/test_efficientnet"
CLASSES = ["blue", "green", "red"]

KEPT = {  # what the comparison of a fine-tuned model with the head alone finds
    "is_kept": True, "head_log_loss": 0.5, "log_loss": 0.4, "difference": -0.1,
    "difference_error": 0.02, "needed_gain": 0.005,
}  # fmt: skip


def save_model(folder: Path, size: int = 16) -> None:
    """Write a small network whose statistics are those under which images differ."""
    torch.manual_seed(0)
    backbone, head = zoo.load(settings.backbone(BACKBONE))[0], settings.head_spec()
    spec = ModelSpec(
        backbone=BACKBONE,
        head=head,
        classes=CLASSES,
        preprocessing=phase.PREPROCESSING.model_copy(update={"image_size": size}),
        blocks=len(backbone.blocks),
        parents=[Parent(stage="backbone", digest="0" * 64)],
    )
    model = assemble(backbone, head, len(CLASSES), image_size=size)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
        else:
            torch.nn.init.constant_(parameter, float(name.endswith("weight")))
    for _ in range(20):
        model.train()(torch.randn(32, 3, size, size))
    directory.save(model.eval(), spec, folder)


def prepare(splits: Sequence[str]) -> None:
    """Pack 30 images of noise, which go to ``splits`` in turn."""
    project_paths.PREPARED.mkdir(parents=True)
    generator = np.random.default_rng(0)
    with PackWriter(project_paths.PREPARED, settings.prepare(encoding="raw")) as store:
        for _ in range(30):
            store.add(generator.integers(0, 256, (20, 16, 3), dtype=np.uint8))
    rows = [
        Row(number, f"{number}.png", "", CLASSES[number % 3], splits[number % len(splits)], 16, 20)
        for number in range(30)
    ]
    manifest.write(rows, project_paths.PREPARED)
