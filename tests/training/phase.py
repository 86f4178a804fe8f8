"""A small real training phase, for tests in their own process and, as a module, in two."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch
from filelock import FileLock
from safetensors.torch import save_file

from tests import settings, tiny
from tests.training.greedy import greedy
from thaw.config.process_sections import Launch, Resources
from thaw.data.loading import ImageSource
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import PackedStore
from thaw.data.preprocessing import Preprocessing
from thaw.errors import ThawError
from thaw.model.batchnorm import fold_blocks
from thaw.model.freeze_plan import last_blocks
from thaw.model.freezing import apply_plan
from thaw.model.frozen_part import FrozenPart
from thaw.system.launching import accelerate_command
from thaw.training import loop
from thaw.training.activation_cache import Cache
from thaw.training.cached_activations import CachedActivations
from thaw.training.checkpoints import Checkpoints
from thaw.training.observer import Observer
from thaw.training.phase_inputs import PhaseInputs
from thaw.training.runtime import Runtime, forward_all, logits, start
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest
    from numpy.typing import NDArray
    from torch import Tensor

    from thaw.config.regularize_section import Regularize
    from thaw.config.training_sections import Training
    from thaw.data.loading import Source
    from thaw.literals import BatchNormPolicy
    from thaw.model.classifier import Classifier
    from thaw.model.freeze_plan import Plan
    from thaw.training.history import EpochRow
    from thaw.training.progress import Progress

SEED = 3
TRAIN, VAL, BATCH = 35, 13, 8  # five batches an epoch, the last of three images
SCORED = (1, 3, 5, 8, 21, 33)
KILLED_AT = (0, 1, 4, 6, 10)  # which reading of a training batch; 0: not at all
EACH_EPOCH = (0, 3, 6, 14)  # once in each; 6: at once where a block has thawed
TOGETHER = ("pulls", "accumulated", "everything")  # of VARIANTS, in two processes
POLICIES: tuple[BatchNormPolicy, ...] = ("train", "frozen", "fixed", "affine")
AUGMENT = settings.augment(flip=0.5, rotate=10.0, shift=0.1, zoom=0.1, brightness=0.1, contrast=0.1)
PREPROCESSING = Preprocessing(
    short_side=16,
    max_megapixels=1.0,
    image_size=16,
    crop_pct=1.0,
    interpolation="bilinear",
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
)
_PREPARE = settings.prepare(
    val_fraction=0.2, test_fraction=0.2, short_side=16, encoding="raw", max_megapixels=1.0
)
_TRAINING = settings.training(
    epochs=3,
    batch_size=BATCH,
    lr=0.01,
    warmup_fraction=0.1,
    weight_decay=0.01,
    patience=10,
)
_REGULARIZE = settings.regularize()


def config(**changes: Any) -> Training:
    return _TRAINING.model_copy(update=changes)


@dataclass(frozen=True)
class Variant:
    """A way to train."""

    training: Training = _TRAINING
    regularize: Regularize = _REGULARIZE
    gradual: int = 0
    accumulate: int = 1


PLAIN = Variant()
VARIANTS = {
    "sgd": Variant(config(optimizer="sgd", schedule="constant")),
    "lamb": Variant(config(optimizer="lamb")),
    "pulls": Variant(
        regularize=settings.regularize(
            label_smoothing=0.1,
            clip_norm=0.5,
            l1=0.001,
            l2_sp=0.5,
            gradient_noise=0.01,
            class_weights="balanced",
        )
    ),
    "ema": Variant(regularize=settings.regularize(ema=0.9)),
    "gradual": Variant(gradual=1),
    "accumulated": Variant(accumulate=2),
    "everything": Variant(
        config(optimizer="lamb"),
        settings.regularize(l2_sp=0.5, gradient_noise=0.01, ema=0.9, class_weights="balanced"),
        gradual=1,
    ),
}


class Killed(Exception):  # noqa: N818  (it is no error of the code under test)
    """Stands for whatever ends a process."""


class Dying:
    """A source that kills its reader at the ``at``-th reading, and notes what was read."""

    def __init__(self, source: Source, at: int = 0) -> None:
        self.targets = source.targets
        self.seen: list[NDArray[np.int64]] = []
        self._source, self._at = source, at

    def __len__(self) -> int:
        return len(self._source)

    def read(self, places: NDArray[np.int64]) -> Tensor:
        self.seen.append(places)
        if len(self.seen) == self._at:
            raise Killed
        return self._source.read(places)

    def finish(self, inputs: Tensor, places: NDArray[np.int64], epoch: int | None) -> Tensor:
        return self._source.finish(inputs, places, epoch)


def images(folder: Path, count: int = TRAIN, *, augmented: bool = False) -> ImageSource:
    """Noise in three classes, each brighter in a channel of its own."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(count)
    targets = np.arange(count, dtype=np.int64) % 3
    with PackWriter(folder, _PREPARE) as store:
        for target in targets:
            pixels = generator.integers(0, 200, (16, 16, 3))
            pixels[..., target] += 40
            store.add(pixels.astype(np.uint8))
    augmentation = AUGMENT if augmented else None
    ids = np.arange(count, dtype=np.int64)
    return ImageSource(PackedStore(folder), ids, targets, PREPROCESSING, 5, augmentation)


def model(
    depth: int = 2, batch_norm: BatchNormPolicy = "frozen", dropout: float = 0.0
) -> Classifier:
    classifier = tiny.classifier(dropout=dropout)
    set_plan(classifier, last_blocks(depth, 3, batch_norm))
    return classifier


def set_plan(classifier: Classifier, plan: Plan) -> None:
    """Fold where the policy is ``affine`` and apply ``plan``, as a training stage does."""
    if plan.batch_norm == "affine":
        fold_blocks(classifier.blocks, plan.trainable)
    apply_plan(classifier, plan)


def fit(
    folder: Path,
    classifier: Classifier,
    sources: tuple[Source, Source],
    training: Training = _TRAINING,
    regularize: Regularize = _REGULARIZE,
    *,
    gradual: int = 0,
    accumulate: int = 1,
    runtime: Runtime | None = None,
    cut: int = 0,
    log: Callable[[EpochRow], None] = lambda _: None,
    keeps_start: bool = True,
) -> Progress:
    """Fit as a stage does; checkpoints are in ``folder/checkpoints``."""
    torch.set_num_threads(1)  # two would wait for each other longer than so small a network runs
    setup = TrainingSetup(
        training,
        regularize,
        SEED,
        lr_decay=0.5,
        gradual_epochs=gradual,
        accumulate=accumulate,
        keeps_start=keeps_start,
    )
    observer = Observer(Checkpoints(folder / "checkpoints", "key"), log)
    inputs = PhaseInputs(*sources, cut)
    return loop.fit(runtime or tiny.runtime(), classifier, inputs, setup, observer)


def fit_variant(
    folder: Path,
    classifier: Classifier,
    sources: tuple[Source, Source],
    variant: Variant,
    runtime: Runtime | None = None,
    log: Callable[[EpochRow], None] = lambda _: None,
) -> Progress:
    return fit(
        folder,
        classifier,
        sources,
        variant.training,
        variant.regularize,
        gradual=variant.gradual,
        accumulate=variant.accumulate,
        runtime=runtime,
        log=log,
    )


def state(classifier: torch.nn.Module) -> dict[str, Tensor]:
    """Return a copy of all parameters and buffers."""
    return {k: v.detach().cpu().clone() for k, v in classifier.state_dict().items()}


def losses(history: Sequence[EpochRow]) -> Tensor:
    """Return the training and validation loss of each epoch, (N, 2); 0 if there was no training."""
    return torch.tensor([(row.train_loss or 0.0, row.val_loss) for row in history])


def differing(first: dict[str, Tensor], second: dict[str, Tensor]) -> list[str]:
    """Return the names of the tensors that are not bitwise equal."""
    assert set(first) == set(second)
    return [key for key in first if not torch.equal(first[key], second[key])]


def launch(processes: int) -> Launch:
    return Launch(processes=processes, threads=1)


def resources(checkpoint_minutes: float = 60.0, workers: int = 0) -> Resources:
    return Resources(workers=workers, checkpoint_minutes=checkpoint_minutes, cache_gb=1.0)


def two_ranks(
    factory: pytest.TempPathFactory, module: str = "tests.training.phase", limit: float = 1100
) -> Path:
    """Return the folder of the results of two processes (see ``_main``), run once per session.

    All processes of the test session (`-n`) share it. ``module`` is what the processes run, for
    ``limit`` seconds at most.
    """
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    out, done = shared / f"two-ranks-{module}", shared / f"two-ranks-{module}-done"
    with FileLock(shared / f"two-ranks-{module}.lock"):
        if not done.exists():
            out.mkdir()
            _launch(module, out, limit)
            done.touch()
    return out


def _launch(module: str, out: Path, limit: float) -> None:
    command = [*accelerate_command(module, launch(2), threads=1), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command,
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class _Rank:
    """One of the two processes; writes what it comes to under its number."""

    out: Path
    runtime: Runtime

    def data(self, name: str, count: int, *, augmented: bool = False) -> ImageSource:
        return images(self.out / f"{name}-{self.runtime.rank}", count, augmented=augmented)

    def keep(self, name: str, tensors: dict[str, Tensor]) -> None:
        plain = {key: value.contiguous() for key, value in tensors.items()}
        save_file(plain, self.out / f"{name}-{self.runtime.rank}.safetensors")

    def train(self, sources: tuple[Source, Source]) -> None:
        for policy in POLICIES:
            self._fit(policy, model(batch_norm=policy), sources, PLAIN)
        for name in TOGETHER:
            self._fit(name, model(3, "affine"), sources, VARIANTS[name])

    def _fit(
        self, name: str, classifier: Classifier, sources: tuple[Source, Source], variant: Variant
    ) -> None:
        folder = self.out / f"fit-{name}"
        progress = fit_variant(folder, classifier, sources, variant, runtime=self.runtime)
        self.keep(f"fit-{name}", state(classifier))
        self.keep(f"history-{name}", {"losses": losses(progress.history)})

    def agree(self, data: tuple[Source, Source]) -> None:
        """Measure the pieces that fit: four images in the first process, one in the second."""
        classifier = model(2, "frozen")
        greedy(classifier.head, 1 if self.runtime.rank else 4)
        setup = TrainingSetup(_TRAINING, _REGULARIZE, SEED, accumulate="auto")
        choices = self.out / "choices.json"
        inputs = PhaseInputs(*data, 0)
        loop.fit(self.runtime, classifier, inputs, setup, Observer(choices=choices))
        self.runtime.wait()
        parts = json.loads(choices.read_text())["parts"]
        self.keep("parts", {"parts": torch.tensor(parts)})

    def compile(self, data: tuple[Source, Source]) -> None:
        """Train a network that the second process cannot compile; note the error."""

        def failing(_: Tensor) -> Tensor:
            raise RuntimeError("no C++ compiler")

        def compiled(network: torch.nn.Module) -> Any:
            return failing if self.runtime.rank else network

        setup = TrainingSetup(_TRAINING, _REGULARIZE, SEED, compile="on")
        with patch("thaw.training.trained_network.compiled", compiled):
            try:
                loop.fit(self.runtime, model(2), PhaseInputs(*data, 0), setup, Observer())
                refusal = "none"
            except ThawError as error:
                refusal = str(error)
        (self.out / f"compiled-{self.runtime.rank}.txt").write_text(refusal)

    def resume(
        self,
        name: str,
        variant: Variant,
        places: Sequence[int],
        data: tuple[Source, Source],
    ) -> None:
        train, val = data
        for at in places:
            folder = self.out / f"{name}-{at}"
            if at:
                with suppress(Killed):
                    classifier = model(3, "train", dropout=0.5)
                    dying = Dying(train, at), val
                    fit_variant(folder, classifier, dying, variant, runtime=self.runtime)
                    raise AssertionError("it was not killed")
                self.runtime.wait()  # a restart meets files, not a process that writes them
            classifier = model(3, "train", dropout=0.5)
            fit_variant(folder, classifier, data, variant, runtime=self.runtime)
            self.keep(f"{name}-{at}", state(classifier))

    def score(self, counts: Sequence[int]) -> None:
        classifier = tiny.classifier()
        for count in counts:
            source = self.data(f"scored-{count}", count)
            parts = [places for places, _ in forward_all(self.runtime, classifier, source, "")]
            scored = logits(self.runtime, classifier, source, "")
            places = torch.from_numpy(np.concatenate(parts))
            self.keep(f"scored-{count}", {"logits": scored, "places": places})


def _main(out: Path) -> None:
    gc.freeze()  # each thaw collects garbage: what the imports made need not be walked each time
    try:
        start(launch(processes=1), resources())
        refusal = "none"
    except ThawError as error:
        refusal = str(error)
    rank = _Rank(out, start(launch(processes=2), resources(1e-9)))
    (out / f"refusal-{rank.runtime.rank}.txt").write_text(refusal)
    train, val = rank.data("train", TRAIN), rank.data("val", VAL)
    rank.train((train, val))
    rank.agree((train, val))
    rank.compile((train, val))
    data = rank.data("augmented", TRAIN, augmented=True), val
    rank.resume("killed", PLAIN, KILLED_AT, data)
    rank.resume("everything", VARIANTS["everything"], EACH_EPOCH, data)
    rank.score(SCORED)
    cache = Cache(out / "activations", 1e9, "data")
    source = CachedActivations(rank.runtime, cache).of(
        FrozenPart(tiny.classifier().part(0, 2)), train, "train"
    )
    if rank.runtime.is_main:
        np.save(out / "activations.npy", source.read(np.arange(TRAIN)).numpy())


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
