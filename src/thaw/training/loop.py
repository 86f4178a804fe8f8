"""The training loop of all phases: head warm-up, unfreeze, and training after the fold.

A phase is a pure function of its inputs and the seed: a killed run continues to the same bits, and
several processes take the same steps as one.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from thaw.model.freezing import apply_plan
from thaw.system.console import progress, say, warn
from thaw.system.deferred_compiler import compiler_deferred
from thaw.training import optimizer_state, schedule, trainable_state
from thaw.training.batch_statistics import SynchronisedStatistics
from thaw.training.determinism import attention_restored
from thaw.training.epoch_loss import READ_EVERY, EpochLoss
from thaw.training.gradual_unfreezing import Gradual
from thaw.training.history import EpochRow
from thaw.training.learner import Learner
from thaw.training.memory_fit import shortage_explained
from thaw.training.phase_checkpoints import PhaseCheckpoints
from thaw.training.phase_tensors import phase_tensors, restore_phase
from thaw.training.progress import Progress
from thaw.training.rehearsal import Rehearsal
from thaw.training.sharding import divided
from thaw.training.step_choices import StepChooser
from thaw.training.step_order import order_of_phase
from thaw.training.validation import validate
from thaw.training.weight_average import WeightAverage

if TYPE_CHECKING:
    from torch import Tensor

    from thaw.model.classifier import Classifier
    from thaw.training.observer import Observer
    from thaw.training.phase_inputs import PhaseInputs
    from thaw.training.runtime import Runtime
    from thaw.training.setup import TrainingSetup
    from thaw.training.step_order import StepOrder

# Seconds of training below which a checkpoint at an epoch's end costs more than it saves.
_WORTH_SAVING = 1.0


@attention_restored()
def fit(
    runtime: Runtime,
    classifier: Classifier,
    inputs: PhaseInputs,
    setup: TrainingSetup,
    observer: Observer,
) -> Progress:
    """Train the head and the blocks in the plan of ``classifier``, in place; keep the best epoch.

    Epoch 0 is the model before training. If no epoch has a lower validation loss, its weights are
    restored, unless ``setup`` keeps the last epoch, or does not keep the start. If ``observer`` has
    checkpoints, training resumes from the newest one. With ``gradual_epochs``, only the block next
    to the head trains at first, and one more after each that many epochs, with a new patience.

    Raises:
        NotFiniteError: a loss or a gradient is not finite.
        MemoryShortageError: a step does not fit into memory.
        ThawError: BatchNorm cannot normalise a step of so few images.
    """
    order = order_of_phase(runtime, classifier, inputs, setup)
    with (
        compiler_deferred(),
        SynchronisedStatistics(runtime, classifier, setup) as statistics,
        divided(runtime, classifier, inputs.cut) as trained,
    ):
        phase = _Phase(runtime, trained, inputs, setup, observer, order, statistics)
        with contextlib.closing(phase.learner.network):
            phase.train()
        trainable_state.load(trained, phase.best)
    if classifier.plan != phase.gradual.final:
        apply_plan(classifier, phase.gradual.final)
    classifier.eval()
    return phase.progress


@dataclass
class _Phase:
    runtime: Runtime
    classifier: Classifier
    inputs: PhaseInputs
    setup: TrainingSetup
    observer: Observer
    order: StepOrder
    statistics: SynchronisedStatistics
    progress: Progress = field(default_factory=Progress)
    loss: EpochLoss = field(default_factory=EpochLoss)
    average: WeightAverage | None = None

    def __post_init__(self) -> None:
        plan, setup = self.classifier.plan, self.setup
        assert plan is not None
        self.gradual = Gradual(plan, setup.gradual_epochs)
        self.learner = Learner(
            self.runtime, self.classifier, self.inputs.train.targets, setup, self.inputs.cut
        )
        self.best = trainable_state.copy(self._trained())
        if setup.regularize.ema:
            self.average = WeightAverage(self._trained(), setup.regularize.ema)
        self.checkpoints = PhaseCheckpoints(self.runtime, self.observer.checkpoints)

    def train(self) -> None:
        """Train from the start or the last checkpoint to the last epoch."""
        self.choose()
        self.start()
        while self.goes_on():
            self.one_epoch()
            self.score(train_loss=self.progress.loss_sum / len(self.inputs.train))
            if self.checkpoints.is_due(_WORTH_SAVING):
                self.save()

    def choose(self) -> None:
        """Choose how a step is computed, before the first one, and then share statistics."""
        if epochs := self.setup.settings.epochs:
            chooser = StepChooser(
                self.runtime, self.setup, self.observer.choices, self._rehearsal, self.order.fewest
            )
            chooser.apply(self.learner, steps=len(self.order.parts(1)) * epochs)
            if self.statistics.start(self.learner.parts):
                self.learner.network.rewrap()

    def _rehearsal(self) -> Rehearsal:
        self.statistics.end()  # which no other process takes part in
        batch = self.order.first_batch()
        return Rehearsal(self.runtime, self.classifier, self.learner, batch, self.best)

    def start(self) -> None:
        """Continue from the last checkpoint, or score the model at the start of the phase."""
        found = self.checkpoints.latest()
        if found is None:
            self.score(train_loss=None)
            shortfall = self.gradual.shortfall(self.setup.settings.epochs)
            if self.runtime.is_main and shortfall:
                warn(shortfall)
            return
        self.restore(*found)
        if self.runtime.is_main:
            say(f"continuing after epoch {self.progress.epoch}, step {self.progress.step}")

    def goes_on(self) -> bool:
        """Return whether another epoch follows: one is left, and the patience has not run out."""
        done = self.progress.epoch
        stale = done - max(self.progress.best_epoch, self.gradual.last_unfreezing(done))
        return done < self.setup.settings.epochs and stale < self.setup.settings.patience

    def one_epoch(self) -> None:
        """Train to the end of the current epoch of ``progress``."""
        state, runtime, learner = self.progress, self.runtime, self.learner
        epoch = state.epoch + 1
        parts = self.order.parts(epoch)
        before = (epoch - 1) * len(parts)
        total = len(parts) * self.setup.settings.epochs
        loaded = runtime.load(self.inputs.train, parts[state.step :], epoch)
        title = f"epoch {epoch}/{self.setup.settings.epochs}"
        self._unfreeze_blocks()
        learner.network.train()
        self.loss = EpochLoss(state.loss_sum, runtime.device)
        with (
            shortage_explained(self._rehearsal, lambda: f"in epoch {epoch}, step {state.step + 1}"),
            contextlib.closing(loaded),  # which ends the batches that wait on the device
        ):
            for batch in progress(loaded, title, len(parts) - state.step, show=runtime.is_main):
                self._set_rate(before + state.step, total)
                self.loss.add(learner.learn(batch, epoch, state.step, before + state.step))
                if self.average is not None:
                    self.average.update(self._trained(), before + state.step)
                state.step += 1
                if state.step % READ_EVERY == 0:
                    self.read_loss()
                if self.checkpoints.is_due(runtime.checkpoint_seconds, state.step):
                    self.save()
        self.read_loss()
        # Needed also if a checkpoint was written after the last step of the epoch.
        self._set_rate(before + len(parts) - 1, total)
        runtime.same_buffers(self.classifier)

    def read_loss(self) -> None:
        """Read from the device the loss of the epoch, and whether all gradients were finite."""
        self.learner.step.raise_if_not_finite()
        self.progress.loss_sum = self.loss.read(self.progress.epoch + 1)

    def _unfreeze_blocks(self) -> None:
        """Unfreeze the blocks that start to train in this epoch."""
        plan = self.gradual.plan(self.progress.epoch)
        if plan != self.classifier.plan:
            apply_plan(self.classifier, plan)
            self.learner.network.rewrap()
        if self.gradual.epochs:
            optimizer_state.forget_idle_steps(self.learner.optimizer)

    def _set_rate(self, step: int, total: int) -> None:
        config = self.setup.settings
        self.learner.set_rate(schedule.factor(step, total, config.warmup_fraction, config.schedule))

    def score(self, train_loss: float | None) -> None:
        """Score the validation split, close the epoch, keep the weights if they are the best.

        If there is a moving average of the weights, it is scored and kept instead of them.
        """
        state = self.progress
        with self._averaged():
            row = self._row(train_loss)
            state.close_epoch(row)
            is_first = row.epoch == 1 and not self.setup.keeps_start
            is_best = row.val_loss < state.best_loss or is_first
            if is_best:
                state.best_epoch = row.epoch
            if is_best or self.setup.keeps_last:
                self.best = trainable_state.copy(self._trained())
        if self.runtime.is_main and self.setup.settings.epochs:
            mark = state.mark(keeps_start=self.setup.keeps_start, keeps_last=self.setup.keeps_last)
            say(row.line(self.setup.settings.epochs, mark))
        self.observer.on_epoch(row)

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.in_place(self.runtime, self.classifier, self.gradual.final)

    def _row(self, train_loss: float | None) -> EpochRow:
        is_trained = train_loss is not None
        epoch = self.progress.epoch + is_trained
        network, val, setup = self.learner.network.whole, self.inputs.val, self.setup
        loss, accuracy = validate(self.runtime, network, val, epoch, calibration=setup.calibration)
        rate = self.learner.optimizer.param_groups[0]["lr"] if is_trained else 0.0
        return EpochRow(epoch, train_loss, loss, accuracy, float(rate))

    def _trained(self) -> dict[str, Tensor]:
        return trainable_state.state(self.classifier, self.gradual.final)

    def save(self) -> None:
        """Write a checkpoint."""
        state = self.progress
        if state.step:  # inside an epoch
            self.read_loss()
        own = self.classifier, self.gradual.final, self.learner, self.average, self.best
        self.checkpoints.save((state.epoch, state.step), lambda: phase_tensors(*own), asdict(state))

    def restore(self, tensors: dict[str, Tensor], saved: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        history = [EpochRow(**row) for row in saved.pop("history")]
        self.progress = Progress(**saved, history=history)
        self.best = restore_phase(tensors, self.classifier, self.learner, self.average)
