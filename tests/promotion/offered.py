"""A store, prepared data and registered versions of known quality, for the gate and promotions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import torch
from torch import nn

from tests import settings
from tests.registry.served import CLASSES, image, model_directory
from thaw.config.promotion_sections import Promote
from thaw.data import manifest
from thaw.data.manifest import Row
from thaw.data.pack_writer import PackWriter
from thaw.data.prepared import Prepared
from thaw.model import directory
from thaw.registry.aliases import aliases
from thaw.registry.ledger import Ledger
from thaw.registry.register import ModelRecord, register
from thaw.system import dvc_lock, provenance
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.tracking import MlflowClient

    from thaw.config.params import Params

IMAGES = 240
LOCK = "stages:\n  prepare:\n    outs:\n    - {{path: data/prepared, hash: md5, md5: {}}}\n"


class Shop:
    """A project's folder with 240 test images, on a store of its own.

    The labels are what ``good`` says, but for every 20th image; ``bad`` is another network.
    """

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder = folder
        self.prepared = folder / "data/prepared"
        self.params = _params(uri)
        self.client: MlflowClient
        self.client, self.experiment = connect(self.params.tracking)
        # JSON is YAML
        (folder / "params.yaml").write_text(self.params.model_dump_json())
        self.models = {"good": folder / "good", "same": folder / "same", "bad": folder / "bad"}
        model_directory(self.models["good"])
        _prepare(self.prepared, self.models)
        (folder / "dvc.lock").write_text(LOCK.format(dvc_lock.folder_md5(self.prepared)))
        self.data = Prepared(self.prepared)

    def register(self, name: str, quality: str = "good", **tags: str) -> int:
        """Register a version made by a run whose provenance is in order, but for ``tags``."""
        wanted = {
            "mlflow.source.git.commit": "c" * 40,
            "thaw.git_dirty": "false",
            "thaw.data_digest": self.data.manifest.digest,
            "thaw.dvc_lock": str(provenance.lock_digest(self.folder / "dvc.lock")),
            **tags,
        }
        mlflow.set_tracking_uri(self.params.tracking.uri)
        spec = directory.read_spec(self.models[quality])
        test_digest = self.data.split_digest("test")
        with mlflow.start_run(experiment_id=self.experiment, tags=wanted):
            mlflow.log_params({"kind": quality})
            made = register(
                name,
                self.models[quality],
                ModelRecord(spec.digest, {"accuracy": 0.9}, "backbone 000", test_digest),
                image(),
            )
        return made.version

    def rules(self, **changes: Any) -> Params:
        """Return the parameters with other rules."""
        rules = Promote.model_validate({**self.params.promote.model_dump(), **changes})
        return self.params.model_copy(update={"promote": rules})

    def aliases(self, name: str) -> dict[str, int]:
        return aliases(self.client, name)

    def ledger(self, name: str) -> Ledger:
        return Ledger(self.client, name)

    def tags(self, name: str, version: int) -> dict[str, str]:
        found: dict[str, str] = self.client.get_model_version(name, str(version)).tags
        return found


def _params(uri: str) -> Params:
    tracking = settings.PARAMS.tracking.model_copy(update={"uri": uri})
    return settings.PARAMS.model_copy(update={"tracking": tracking})


def _prepare(folder: Path, models: dict[str, Path]) -> None:
    """Images, all for testing, and heads that know their labels, or others."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (IMAGES, 40, 40, 3), dtype=np.uint8)
    # noise alone looks alike to any network: each image has a colour of its own
    pixels = (pixels * 0.3 + generator.integers(0, 180, (IMAGES, 1, 1, 3))).astype(np.uint8)
    classifier, spec = directory.load(models["good"])
    head = next(module for module in classifier.head.modules() if isinstance(module, nn.Linear))
    inputs = spec.preprocessing.normalize(spec.preprocessing.resize(list(pixels)).float() / 255)
    seen: list[torch.Tensor] = []
    head.register_forward_hook(lambda _, taken, __: seen.append(taken[0]))
    labels = np.zeros(IMAGES, dtype=np.int64)
    for name, seed in (("good", 0), ("bad", 1), ("same", 0)):
        torch.manual_seed(seed)
        with torch.no_grad():
            classifier(inputs)
            scale = 1.001 if name == "same" else 1.0
            head.weight.copy_(scale * torch.randn(head.weight.shape) / seen[-1].std(dim=0))
            head.bias.copy_(-head.weight @ seen[-1].mean(dim=0))
            if name == "good":
                labels = classifier(inputs).argmax(dim=1).numpy().copy()
        directory.save(classifier, spec, models[name])
    labels[::20] = (labels[::20] + 1) % len(CLASSES)
    with PackWriter(folder, settings.prepare(encoding="raw", short_side=48)) as store:
        for one in pixels:
            store.add(one)
    manifest.write(
        [Row(i, f"{i}.png", "", CLASSES[label], "test", 40, 40) for i, label in enumerate(labels)],
        folder,
    )
