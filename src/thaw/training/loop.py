"""The training loop: one for the warm-up, the unfreeze and the training after the fold.

A phase is a pure function of its inputs and the seed:
order, augmentation and dropout are drawn anew from (seed, epoch, step), so that a killed run
continues to the same bits, and several processes take the steps that one would.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from thaw.data.loading import shuffled
from thaw.model import freeze_plan
from thaw.system.console import progress, say, warn
from thaw.training import optimizers, schedule, trainable_state
from thaw.training.checkpoints import join, split
from thaw.training.gradual_unfreezing import Gradual
from thaw.training.history import Row
from thaw.training.learner import Learner, NotFiniteError
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from torch import Tensor

    from thaw.config.training_sections import Regularize, Training
    from thaw.data.loading import Source
    from thaw.model.classifier import Classifier
    from thaw.training.checkpoints import Checkpoints
    from thaw.training.runtime import Runtime

# Seconds of training below which a checkpoint at an epoch's end costs more than it saves.
_WORTH_SAVING = 1.0


@dataclass
class Progress:
    """Where a training phase stands: with the tensors, all that a checkpoint holds."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    best_epoch: int = 0
    history: list[Row] = field(default_factory=list)

    @property
    def best_loss(self) -> float:
        """The validation loss of the best epoch so far."""
        return self.history[self.best_epoch].val_loss


def fit(
    runtime: Runtime,
    classifier: Classifier,
    train: Source,
    val: Source,
    config: Training,
    regularize: Regularize,
    *,
    seed: int,
    lr_decay: float,
    cut: int,
    checkpoints: Checkpoints,
    log: Callable[[Row], None],
    gradual_epochs: int = 0,
) -> Progress:
    """Train what the classifier's plan leaves trainable, and keep the best epoch.

    ``train`` and ``val`` give activations at ``cut``. The model as it comes in is epoch 0: where
    no epoch has a lower validation loss, it stands. Resumes from ``checkpoints``. ``log`` gets
    every new row as it is made, in every process; what it raises ends the phase. With
    ``gradual_epochs`` only the plan's block next to the head trains at first, and one more after
    each so many epochs; patience begins anew with each.

    Raises:
        NotFiniteError: the validation loss or a gradient is not finite.
    """
    assert classifier.plan is not None
    learner = Learner(
        runtime, classifier, train.targets, config, regularize,
        seed=seed, lr_decay=lr_decay, cut=cut,
    )  # fmt: skip
    now = trainable_state.state(classifier, classifier.plan)
    phase = _Phase(
        runtime=runtime,
        classifier=classifier,
        gradual=Gradual(classifier.plan, gradual_epochs),
        learner=learner,
        train=train,
        val=val,
        config=config,
        seed=seed,
        checkpoints=checkpoints,
        best=trainable_state.copy(now),
        average=trainable_state.Average(now, regularize.ema) if regularize.ema else None,
    )
    phase.start(log)
    while phase.goes_on():
        phase.one_epoch()
        phase.score(log, train_loss=phase.progress.loss_sum / len(train))
        if time.monotonic() - phase.saved_at > _WORTH_SAVING:
            phase.save()
    trainable_state.load(classifier, phase.best)
    if classifier.plan != phase.gradual.final:
        freeze_plan.apply(classifier, phase.gradual.final)
    classifier.eval()
    return phase.progress


@dataclass
class _Phase:
    runtime: Runtime
    classifier: Classifier
    gradual: Gradual
    learner: Learner
    train: Source
    val: Source
    config: Training
    seed: int
    checkpoints: Checkpoints
    best: dict[str, Tensor]
    average: trainable_state.Average | None
    progress: Progress = field(default_factory=Progress)
    saved_at: float = field(default_factory=time.monotonic)

    def start(self, log: Callable[[Row], None]) -> None:
        """Continue from the last checkpoint, or score the model as it came."""
        found = self.checkpoints.latest()
        if found is None:
            self.score(log, train_loss=None)
            shortfall = self.gradual.shortfall(self.config.epochs)
            if self.runtime.is_main and shortfall:
                warn(shortfall)
            return
        self.restore(*found)
        if self.runtime.is_main:
            say(f"continuing after epoch {self.progress.epoch}, step {self.progress.step}")

    def goes_on(self) -> bool:
        """Whether there is an epoch left, and a reason to hope for it."""
        done = self.progress.epoch
        stale = done - max(self.progress.best_epoch, self.gradual.last_thaw(done))
        return done < self.config.epochs and stale < self.config.patience

    def one_epoch(self) -> None:
        """Train to the end of the epoch that ``progress`` stands in."""
        state, runtime, learner = self.progress, self.runtime, self.learner
        epoch = state.epoch + 1
        order = shuffled(len(self.train), self.seed, epoch)
        parts = runtime.shares(order, self.config.batch_size)
        before = (epoch - 1) * len(parts)
        total = len(parts) * self.config.epochs
        loaded = runtime.load(self.train, parts[state.step :], epoch)
        title = f"epoch {epoch}/{self.config.epochs}"
        self._thaw()
        learner.network.train()
        for batch in progress(loaded, title, len(parts) - state.step, show=runtime.is_main):
            self._set_rate(before + state.step, total)
            state.loss_sum += learner.learn(batch, epoch, state.step, before + state.step)
            if self.average is not None:
                self.average.update(self._trained(), before + state.step)
            state.step += 1
            if time.monotonic() - self.saved_at > runtime.checkpoint_seconds:
                self.save()
        # Also where a checkpoint of the last step leaves nothing but the validation to do.
        self._set_rate(before + len(parts) - 1, total)
        runtime.same_buffers(self.classifier)

    def _thaw(self) -> None:
        """Let the blocks train whose time has come."""
        plan = self.gradual.plan(self.progress.epoch)
        if plan != self.classifier.plan:
            freeze_plan.apply(self.classifier, plan)
            self.learner.rewrap()
        if self.gradual.epochs:
            optimizers.forget_idle_steps(self.learner.optimizer)

    def _set_rate(self, step: int, total: int) -> None:
        config = self.config
        self.learner.set_rate(schedule.factor(step, total, config.warmup_fraction, config.schedule))

    def score(self, log: Callable[[Row], None], train_loss: float | None) -> None:
        """Score the validation split, close the epoch, keep the weights if they are the best.

        What is scored and kept is the moving average of the weights, where there is one.
        """
        state = self.progress
        with self._averaged():
            row = self._row(train_loss)
            state.history.append(row)
            state.epoch, state.step, state.loss_sum = row.epoch, 0, 0.0
            if row.val_loss < state.best_loss:
                state.best_epoch = row.epoch
                self.best = trainable_state.copy(self._trained())
        if self.runtime.is_main:
            trained_to = "" if train_loss is None else f"train loss {train_loss:.4f}  "
            mark = "  best" if state.best_epoch == row.epoch else ""
            say(
                f"epoch {row.epoch}/{self.config.epochs}  {trained_to}val loss "
                f"{row.val_loss:.4f}  val accuracy {row.val_accuracy:.4f}{mark}"
            )
        log(row)

    def _averaged(self) -> AbstractContextManager[None]:
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.in_place(self.runtime, self.classifier, self.gradual.final)

    def _row(self, train_loss: float | None) -> Row:
        scores = logits(self.runtime, self.learner.whole, self.val, "validation")
        targets = torch.from_numpy(self.val.targets)
        rate = self.learner.optimizer.param_groups[0]["lr"]
        row = Row(
            epoch=self.progress.epoch + (train_loss is not None),
            train_loss=train_loss,
            val_loss=float(F.cross_entropy(scores.double(), targets)),
            val_accuracy=float((scores.argmax(1) == targets).double().mean()),
            lr=float(rate) if train_loss is not None else 0.0,
        )
        if not math.isfinite(row.val_loss):
            raise NotFiniteError(
                f"the validation loss is {row.val_loss} after epoch {row.epoch}: try a lower lr"
            )
        return row

    def _trained(self) -> dict[str, Tensor]:
        return trainable_state.state(self.classifier, self.gradual.final)

    def save(self) -> None:
        """Write a checkpoint, from the first process."""
        self.saved_at = time.monotonic()
        if not self.runtime.is_main:
            return
        parts = {
            "now": self._trained(),
            "best": self.best,
            "average": self.average.values if self.average else {},
            "optimizer": optimizers.state(self.learner.optimizer),
        }
        state = self.progress
        self.checkpoints.save((state.epoch, state.step), join(parts), asdict(state))

    def restore(self, tensors: dict[str, Tensor], saved: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        history = [Row(**row) for row in saved.pop("history")]
        self.progress = Progress(**saved, history=history)
        parts = split(tensors)
        trainable_state.load(self.classifier, parts["now"])
        self.best = parts["best"]
        optimizers.restore(self.learner.optimizer, parts["optimizer"])
        if self.average:
            self.average.restore(parts["average"])
