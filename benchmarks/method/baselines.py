"""Train one baseline of ``comparison.py`` in a folder with prepared data; print JSON.

Usage: ``baselines.py logistic|plain|fastai EPOCHS [--size SIZE] [--flip]``

It runs in its own process, because malloc reads its settings at the start. All baselines use the
pixels that thaw has prepared, resized and normalised, with the framing and the size that logistic
regression has chosen on the validation split, from what thaw compares. A given size (pixels) leaves
only the framing to choose.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.command_line import parser
from benchmarks.method import input_choice
from benchmarks.method.scoring import scores
from thaw.config.loading import load
from thaw.config.parameter_values import assumed
from thaw.config.params import Params
from thaw.data.prepared import Prepared
from thaw.data.random_draws import shuffled
from thaw.data.split_names import SPLITS
from thaw.registry.starting_model import begin
from thaw.training.runtime import logits, start

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.data.loading import Source
    from thaw.data.split_names import SplitName

_RATES = (1e-3, 1e-4)
_BATCH = 16  # as unfreeze.batch_size


class Setting:
    """The data, the network with its pretrained weights, and the parameters of this folder."""

    def __init__(self, size: int | None, *, flip: bool) -> None:
        self.flip = flip  # whether fastai may mirror the images
        self.params = assumed(load(Params))
        self.data = Prepared(Path("data/prepared"))
        self.runtime = start(self.params.launch, self.params.resources)
        self.classifier, self.spec = begin(self.params, self.params.head, self.data, "")
        self.targets = {
            split: self.data.images(split, self.spec.preprocessing).targets for split in SPLITS
        }
        self.input = input_choice.chosen(self, size)
        changed = {"preprocessing": self.input.of(self.spec.preprocessing)}
        self.spec = self.spec.model_copy(update=changed)

    def source(self, split: SplitName, *, augmented: bool = False) -> Source:
        """Return the images of a split, as thaw's stages read them."""
        augmentation = self.params.augment.fixed() if augmented else None
        return self.data.images(split, self.spec.preprocessing, self.params.seed, augmentation)


def logistic(setting: Setting, _: int) -> dict[str, Any]:
    """Fit logistic regression on the frozen, standardised features of the last block.

    Framing and size are chosen by the lowest validation loss, the penalty by five folds of training
    and validation images.
    """
    return input_choice.logistic_on(setting, setting.input)


def plain(setting: Setting, epochs: int) -> dict[str, Any]:
    """Train all layers at one rate from the first step, with a random head.

    BatchNorm is in train mode. The optimiser is AdamW, the augmentation that of thaw. Learning
    rate (of two) and epoch are chosen by the lowest validation loss.
    """
    classifier = setting.classifier
    pretrained = copy.deepcopy(classifier.state_dict())
    found: list[tuple[dict[str, Any], dict[str, Tensor]]] = []
    for rate in _RATES:
        classifier.load_state_dict(pretrained)
        found.append(_plain_at(setting, rate, epochs))
    best, weights = min(found, key=lambda pair: float(pair[0]["val_loss"]))
    classifier.load_state_dict(weights)
    return best | _scored(setting, "test")


def _plain_at(
    setting: Setting, rate: float, epochs: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the validation scores and the weights of the best epoch."""
    classifier, seed = setting.classifier, setting.params.seed
    torch.manual_seed(seed)
    for module in classifier.head.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=rate)
    train = setting.source("train", augmented=True)
    best: tuple[dict[str, Any], dict[str, Tensor]] | None = None
    for epoch in range(1, epochs + 1):
        classifier.train()
        order = setting.runtime.batch_parts(shuffled(len(train), seed, epoch), _BATCH)
        for batch in setting.runtime.load(train, order, epoch):
            optimizer.zero_grad()
            loss = F.cross_entropy(classifier(batch.inputs), batch.targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        row = {"choice": f"{setting.input.name}, lr {rate:g}, epoch {epoch}"} | _scored(
            setting, "val"
        )
        if best is None or row["val_loss"] < best[0]["val_loss"]:
            best = row, copy.deepcopy(classifier.state_dict())
    assert best is not None
    return best


def _scored(setting: Setting, split: SplitName) -> dict[str, Any]:
    outputs = logits(setting.runtime, setting.classifier, setting.source(split), split)
    return scores(outputs.softmax(1).numpy(), setting.targets[split], split)


def fastai(setting: Setting, epochs: int) -> dict[str, Any]:
    """Train with fastai's ``fine_tune``, head, rates and transforms on the same blocks."""
    import fastai.callback.schedule  # noqa: F401  (gives the learner its fine_tune)
    from fastai.callback.channelslast import ChannelsLast
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat
    from fastai.torch_core import apply_init, params, set_seed
    from fastai.vision import augment, core, data
    from fastai.vision.learner import create_head

    set_seed(setting.params.seed, reproducible=True)
    preprocessing, manifest = setting.spec.preprocessing, setting.data.manifest
    pixels: dict[int, NDArray[np.uint8]] = {}
    ids = {split: [int(i) for i in manifest.ids(split)] for split in SPLITS}
    for image_id in (i for split in SPLITS for i in ids[split]):
        resized = preprocessing.resize([setting.data.store.read(image_id)])
        pixels[image_id] = resized[0].permute(1, 2, 0).numpy()
    training = [*ids["train"], *ids["val"]]
    transforms = augment.aug_transforms(do_flip=setting.flip)
    block = data.DataBlock(
        blocks=(data.ImageBlock, data.CategoryBlock(vocab=manifest.classes, sort=False)),
        get_x=lambda image_id: core.PILImage.create(pixels[image_id]),
        get_y=lambda image_id: manifest.rows[image_id].label,
        splitter=lambda items: (
            list(range(len(ids["train"]))), list(range(len(ids["train"]), len(items)))
        ),
        batch_tfms=[
            *transforms, data.Normalize.from_stats(preprocessing.mean, preprocessing.std)
        ],
    )  # fmt: skip
    loaders = block.dataloaders(training, bs=_BATCH, num_workers=0, device=torch.device("cpu"))
    body = nn.Sequential(*setting.classifier.blocks)
    width = setting.classifier.head[-1].in_features  # type: ignore[index]
    head = create_head(width, len(manifest.classes))
    apply_init(head, nn.init.kaiming_normal_)
    learner = Learner(
        loaders,
        nn.Sequential(body, head),
        splitter=lambda model: [params(model[0]), params(model[1])],
        loss_func=CrossEntropyLossFlat(),  # whose predictions are probabilities
        cbs=ChannelsLast,
    )
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs)
        result: dict[str, Any] = {"choice": f"{setting.input.name}, its defaults"}
        for split in ("val", "test"):
            outputs, _ = learner.get_preds(dl=loaders.test_dl(ids[split], num_workers=0))
            result |= scores(outputs.numpy(), setting.targets[split], split)
    return result


def main() -> None:
    """Run the arm, and print what came out."""
    arms = {"logistic": logistic, "plain": plain, "fastai": fastai}
    arguments = parser(__doc__)
    arguments.add_argument("arm", choices=list(arms))
    arguments.add_argument("epochs", type=int)
    arguments.add_argument("--size", type=int)
    arguments.add_argument("--flip", action="store_true")
    given = arguments.parse_args()
    print(json.dumps(arms[given.arm](Setting(given.size, flip=given.flip), given.epochs)))


if __name__ == "__main__":
    main()
