"""The code that the training stages share: open the project, write models and reports."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from thaw.config.loading import load
from thaw.config.params import Params
from thaw.config.result_values import result_values
from thaw.context import Context, open_context
from thaw.model import directory
from thaw.system import project_paths, provenance
from thaw.system.code_digests import code_digests
from thaw.system.console import warn
from thaw.system.files import write_json
from thaw.system.locks import only_process
from thaw.system.processes import die_with_parent
from thaw.system.tool_lock import library_versions
from thaw.tracking import untracked_models
from thaw.training import history
from thaw.training.checkpoints import Checkpoints
from thaw.training.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thaw.config.data_sections import FixedAugment
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier
    from thaw.model.drift import Reference
    from thaw.model.spec import ModelSpec
    from thaw.tracking.live_run import LiveRun
    from thaw.training.progress import Progress

# Sections of params.yaml that every training stage reads, in addition to its own.
COMMON_SECTIONS = ("seed", "launch", "regularize")


@dataclass(frozen=True)
class TrainingStage:
    """A running training stage: its context, its observer, and where it writes results.

    ``tracked`` is the MLflow run. It is None in all processes except the first, and in a stage
    without epochs of training, whose result `evaluate` records.
    """

    name: str
    context: Context
    observer: Observer
    tracked: LiveRun | None

    def repeated_on(self, name: str) -> Observer:
        """Return the observer of a training that is repeated on other images, called ``name``.

        It has checkpoints of its own and the measured choices of the stage. Its epochs are logged
        under ``STAGE_NAME``, without validation scores: it may train on the validation images.
        """
        checkpoints, choices = self.observer.checkpoints, self.observer.choices
        checkpoints = checkpoints.part(name) if checkpoints else None
        if (tracked := self.tracked) is None:
            return Observer(checkpoints, choices=choices)
        log = partial(tracked.log_row, f"{self.name}_{name}", with_validation=False)
        return Observer(checkpoints, log, choices)

    def draw_augmented(
        self, preprocessing: Preprocessing, augmentation: FixedAugment, picture: str
    ) -> None:
        """Draw some training images as the network sees them, in the first process."""
        if self.context.runtime.is_main:
            from thaw.evaluation.augmentation_grid import draw_augmented

            context = self.context
            source = context.data.images("train", preprocessing, context.params.seed, augmentation)
            folder = project_paths.REPORTS / self.name
            draw_augmented(source, folder / picture)

    def save_model(
        self,
        classifier: Classifier,
        spec: ModelSpec,
        name: str = "",
        reference: Reference | None = None,
    ) -> ModelSpec:
        """Write a model directory below ``models/STAGE``, in the first process.

        Returns:
            The spec with the digests of what was written.
        """
        if not self.context.runtime.is_main:
            return spec
        return directory.save(classifier, spec, project_paths.MODELS / self.name / name, reference)

    def finish(self, spec: ModelSpec, progress: Progress, report: dict[str, Any]) -> None:
        """Write the history and the report, and remove the checkpoints."""
        runtime = self.context.runtime
        if runtime.is_main:
            folder = project_paths.REPORTS / self.name
            history.write(progress.history, folder / project_paths.HISTORY)
            content = {**summary(progress), **report}
            write_json(folder / project_paths.REPORT, content)
            if self.tracked is not None:
                self.tracked.computed(self.name, spec.digest)
            else:
                untracked_models.write(self.name, spec.digest)
        runtime.wait()
        if runtime.is_main and self.observer.checkpoints is not None:
            self.observer.checkpoints.clear()


def summary(progress: Progress) -> dict[str, Any]:
    """Return the numbers of a phase: the epoch it started from and the epoch that was kept."""
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
def training_stage(name: str, sections: Sequence[str], parent: str = "") -> Iterator[TrainingStage]:
    """Open the project for the stage ``name``, which reads ``sections`` of ``params.yaml``.

    ``parent`` is the digest of the model that the stage starts from.
    """
    die_with_parent()
    params = load(Params)
    context = open_context(params, project_paths.PREPARED)
    is_main = context.runtime.is_main
    with contextlib.ExitStack() as stack:
        if is_main:
            lock = project_paths.SCRATCH / f"{name}.lock"
            stack.enter_context(only_process(lock, f"the stage {name}"))
        key = _key(name, context, sections, parent)
        folder = project_paths.SCRATCH / "checkpoints" / name
        checkpoints = Checkpoints(folder, key, warn, removes_others=is_main)
        choices = project_paths.SCRATCH / "choices" / f"{name}-{key}.json"
        if not (is_main and getattr(params, name).has_epochs):
            yield TrainingStage(name, context, Observer(checkpoints, choices=choices), None)
            return
        from thaw.tracking.live_run import LiveRun

        tracked = LiveRun(params, context.data.manifest.digest)
        stack.enter_context(tracked.stage(name))
        observer = Observer(checkpoints, lambda row: tracked.log_row(name, row), choices)
        yield TrainingStage(name, context, observer, tracked)


def _key(name: str, context: Context, sections: Sequence[str], parent: str) -> str:
    """Return the key of this very training, made of everything that can change its bits.

    A checkpoint under another key belongs to another result and cannot be continued.
    """
    values = result_values(context.params, sections)
    digests = context.data.digest, parent, code_digests()[name]
    return provenance.key(values, *digests, library_versions())[:16]
