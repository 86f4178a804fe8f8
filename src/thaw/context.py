"""An opened project: parameters, prepared data, processes and devices, activation cache.

Stages, verbs and search trials compute from a :class:`Context`. It reads files of the project but
writes none, except for the activation cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thaw.config.section import AUTO
from thaw.data.prepared import Prepared
from thaw.model.batchnorm import fold_blocks
from thaw.model.freezing import apply_plan
from thaw.system.project_paths import ACTIVATIONS
from thaw.training.activation_cache import cache_of
from thaw.training.loop import fit
from thaw.training.phase_inputs import phase_inputs, validation_inputs
from thaw.training.runtime import start
from thaw.training.setup import TrainingSetup

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from thaw.config.data_sections import FixedAugment
    from thaw.config.params import Params
    from thaw.config.regularize_section import CalibrationSetting, Regularize
    from thaw.config.training_sections import Training
    from thaw.data.preprocessing import Preprocessing
    from thaw.model.classifier import Classifier
    from thaw.model.freeze_plan import Plan
    from thaw.training.activation_cache import Cache
    from thaw.training.observer import Observer
    from thaw.training.phase_inputs import PhaseInputs
    from thaw.training.progress import Progress
    from thaw.training.runtime import Runtime


@dataclass(frozen=True)
class Phase:
    """One training phase: what trains (``plan``), how, and on which images.

    ``augmentation`` changes the training images; None leaves them as they are. With ``keeps_last``
    the weights of the last epoch are kept, also if the validation loss is lower in another one.
    Without ``keeps_start``, the best epoch is kept even if the model at the start has a lower
    validation loss. Validation losses are those with the ``calibration`` that is kept.
    """

    plan: Plan
    settings: Training
    preprocessing: Preprocessing
    augmentation: FixedAugment | None = None
    lr_decay: float = 1.0
    gradual_epochs: int = 0
    keeps_last: bool = False
    keeps_start: bool = True
    calibration: CalibrationSetting = "off"


@dataclass(frozen=True)
class Context:
    """An opened project.

    ``open_inputs`` returns the inputs of a phase. A search passes a function that shares the
    opened inputs between its trials.
    """

    params: Params
    data: Prepared
    runtime: Runtime
    open_inputs: Callable[[Context, Classifier, Phase], PhaseInputs] | None = None

    def cache(self, preprocessing: Preprocessing) -> Cache:
        """Return the activation cache for the prepared data under ``preprocessing``."""
        return cache_of(ACTIVATIONS, self.data, preprocessing, self.params.resources.cache_gb)

    def inputs(self, classifier: Classifier, phase: Phase) -> PhaseInputs:
        """Apply the plan of ``phase`` to ``classifier`` and return the inputs to train on.

        Under the policy ``affine``, BatchNorm of the blocks that train is folded first.
        """
        self._apply(classifier, phase)
        open_inputs = self.open_inputs or compute_inputs
        return open_inputs(self, classifier, phase)

    def _apply(self, classifier: Classifier, phase: Phase) -> None:
        if phase.plan.batch_norm == "affine":
            fold_blocks(classifier.blocks, phase.plan.trainable)
        apply_plan(classifier, phase.plan)

    def regularize(self, plan: Plan) -> Regularize:
        """Return the section ``regularize`` for a training of ``plan``, without ``auto``."""
        keeps_statistics = bool(plan.trainable) and plan.keeps_statistics
        return self.params.regularize.without_auto(keeps_statistics=keeps_statistics)

    def setup(self, phase: Phase) -> TrainingSetup:
        """Return the settings of ``phase`` with the project's regularisation and seed."""
        launch = self.params.launch
        is_measured = phase.settings.batch_size == AUTO and launch.accumulate == 1
        return TrainingSetup(
            phase.settings,
            self.regularize(phase.plan),
            self.params.seed,
            phase.lr_decay,
            phase.gradual_epochs,
            accumulate="auto" if is_measured else launch.accumulate,
            compile=launch.compile,
            keeps_last=phase.keeps_last,
            keeps_start=phase.keeps_start,
            calibration=phase.calibration,
            graphs=self.params.resources.cuda_graphs == "auto",
        )

    def train(self, classifier: Classifier, phase: Phase, observer: Observer) -> Progress:
        """Train the head and the blocks in the plan of ``phase``, in place.

        Raises:
            NotFiniteError: the validation loss or a gradient is not finite.
        """
        if phase.settings.epochs or self.open_inputs:
            inputs = self.inputs(classifier, phase)
        else:
            self._apply(classifier, phase)
            inputs = compute_inputs(self, classifier, phase, trains=False)
        return fit(self.runtime, classifier, inputs, self.setup(phase), observer)


def open_context(
    params: Params,
    prepared: Path,
    *,
    single_process: bool = False,
    device: torch.device | None = None,
) -> Context:
    """Open the project in the processes that are running.

    With ``single_process``, ``launch.processes`` is taken as 1: a verb runs in one process.
    ``device`` is that of a single process; by default it is a GPU if there is one.

    Raises:
        ThawError: there is no prepared data, or another number of processes runs.
    """
    launch = params.launch
    if single_process:
        launch = launch.of_verb()
    data = Prepared(prepared)
    return Context(params, data, start(launch, params.resources, device))


def compute_inputs(
    context: Context, classifier: Classifier, phase: Phase, *, trains: bool = True
) -> PhaseInputs:
    """Return the inputs of ``phase`` from the activation cache, filling it first if needed.

    Unless the phase ``trains``, no activations of training images are computed.
    """
    preprocessing, seed = phase.preprocessing, context.params.seed
    train = context.data.images("train", preprocessing, seed, phase.augmentation)
    val = context.data.images("val", preprocessing)
    cache = context.cache(preprocessing)
    inputs_of = phase_inputs if trains else validation_inputs
    return inputs_of(context.runtime, classifier, train, val, phase.plan.cut, cache)
