"""What the stages that train have in common: what is opened before and written after."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.section import Section
from thaw.config.training_sections import Launch, Regularize
from thaw.config.values import NO_EFFECT
from thaw.data.prepared import Prepared
from thaw.model import directory
from thaw.model.freeze_plan import apply
from thaw.system import project_paths, provenance
from thaw.system.console import warn
from thaw.system.files import only_process
from thaw.system.processes import die_with_parent
from thaw.training import history
from thaw.training.activation_cache import FOLDER, cache_of, sources
from thaw.training.checkpoints import Checkpoints
from thaw.training.loop import fit
from thaw.training.runtime import start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thaw.config.data_sections import Augment
    from thaw.config.training_sections import Training
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier
    from thaw.model.directory import Spec
    from thaw.model.drift import Reference
    from thaw.model.freeze_plan import Plan
    from thaw.tracking.result_run import ResultRun
    from thaw.training.activation_cache import AtCut, Cache
    from thaw.training.history import Row
    from thaw.training.loop import Progress
    from thaw.training.runtime import Runtime


class TrainingInputs(Section):
    """What every training stage reads from ``params.yaml``, beside its own section."""

    seed: int
    launch: Launch
    regularize: Regularize


I = TypeVar("I", bound=TrainingInputs)  # noqa: E741


@dataclass(frozen=True)
class Work(Generic[I]):
    """A training stage at work."""

    stage: str
    config: I
    params: Params
    data: Prepared
    runtime: Runtime
    checkpoints: Checkpoints
    run: ResultRun | None  # of the first process

    def inputs(
        self,
        classifier: Classifier,
        preprocessing: Preprocessing,
        plan: Plan,
        augmentation: Augment | None = None,
    ) -> AtCut:
        """What ``plan`` trains on: cached activations where it can be, else the images."""
        apply(classifier, plan)
        train = self.data.images("train", preprocessing, self.config.seed, augmentation)
        val = self.data.images("val", preprocessing)
        cache = self.cache(preprocessing)
        return sources(self.runtime, classifier, train, val, plan.cut, cache)

    def cache(self, preprocessing: Preprocessing) -> Cache:
        """Where the activations of this data, so preprocessed, are kept."""
        return cache_of(FOLDER, self.data, preprocessing, self.config.launch.cache_gb)

    def train(
        self,
        classifier: Classifier,
        preprocessing: Preprocessing,
        plan: Plan,
        config: Training,
        *,
        lr_decay: float = 1.0,
        gradual_epochs: int = 0,
        augmentation: Augment | None = None,
    ) -> Progress:
        """Train what ``plan`` leaves trainable, in place; the cached activations are its inputs."""
        at_cut = self.inputs(classifier, preprocessing, plan, augmentation)
        return fit(
            self.runtime,
            classifier,
            *at_cut.pair,
            config,
            self.config.regularize,
            seed=self.config.seed,
            lr_decay=lr_decay,
            cut=at_cut.cut,
            gradual_epochs=gradual_epochs,
            checkpoints=self.checkpoints,
            log=self.log,
        )

    def log(self, row: Row) -> None:
        """Log an epoch to the MLflow run, from the first process."""
        if self.run is not None:
            self.run.log_row(self.stage, row)

    def draw(self, preprocessing: Preprocessing, augmentation: Augment, name: str) -> None:
        """Draw some training images as the network sees them, from the first process."""
        if self.runtime.is_main:
            from thaw.evaluation.augmentation_grid import augmented

            source = self.data.images("train", preprocessing, self.config.seed, augmentation)
            folder = project_paths.REPORTS / self.stage
            folder.mkdir(parents=True, exist_ok=True)
            augmented(source, folder / name)

    def save_model(
        self, classifier: Classifier, spec: Spec, name: str = "", reference: Reference | None = None
    ) -> Spec:
        """Write a model directory of this stage, from the first process."""
        if not self.runtime.is_main:
            return spec
        return directory.save(classifier, spec, project_paths.MODELS / self.stage / name, reference)

    def finish(self, spec: Spec, progress: Progress, report: dict[str, Any]) -> None:
        """Write the history and the report; the checkpoints are no longer needed."""
        if self.runtime.is_main:
            folder = project_paths.REPORTS / self.stage
            history.write(progress.history, folder / project_paths.HISTORY)
            content = {**describe(progress), **report}
            (folder / project_paths.REPORT).write_text(json.dumps(content, indent=2) + "\n")
            assert self.run is not None
            self.run.computed(self.stage, spec.digest)
        self.runtime.wait()
        if self.runtime.is_main:
            self.checkpoints.clear()


def describe(progress: Progress) -> dict[str, Any]:
    """The phase in a few numbers: where it started, and the epoch that was kept."""
    first, best = progress.history[0], progress.history[progress.best_epoch]
    return {
        "epochs": progress.epoch,
        "best_epoch": best.epoch,
        "val_loss": best.val_loss,
        "val_accuracy": best.val_accuracy,
        "start_val_loss": first.val_loss,
        "start_val_accuracy": first.val_accuracy,
    }


@contextlib.contextmanager
def training(stage: str, schema: type[I], parent: str = "") -> Iterator[Work[I]]:
    """Open all that a training stage needs; ``parent`` digests the model it starts from."""
    die_with_parent()
    params = load(Params)
    inputs = load(schema)
    runtime = start(inputs.launch)
    with contextlib.ExitStack() as stack:
        if runtime.is_main:
            lock = project_paths.SCRATCH / f"{stage}.lock"
            stack.enter_context(only_process(lock, f"the stage {stage}"))
        data = Prepared(project_paths.PREPARED)
        # The same key, the same bits: what a checkpoint with another one reached is of no use.
        key = provenance.key(
            inputs.model_dump(exclude=NO_EFFECT),
            data.digest,
            parent,
            provenance.code_digest(),
            torch.__version__,
        )
        folder = project_paths.SCRATCH / "checkpoints" / stage
        checkpoints = Checkpoints(folder, key[:16], warn)
        run = None
        if runtime.is_main:
            from thaw.tracking.result_run import ResultRun

            run = ResultRun(params, data.manifest.digest)
            stack.enter_context(run.stage(stage))
        yield Work(stage, inputs, params, data, runtime, checkpoints, run)
