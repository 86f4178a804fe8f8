"""The training loop: one for the warm-up, the unfreeze and the training after the fold.

A phase is a pure function of its inputs and the seed:
order, augmentation and dropout are drawn anew from (seed, epoch, step), so that a killed run
continues to the same bits, and several processes take the steps that one would.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from thaw.console import progress, say
from thaw.data.loader import shuffled
from thaw.errors import ThawError
from thaw.model.blocks import Upper
from thaw.training import optim, schedule
from thaw.training.history import Row
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw.config import Training
    from thaw.data.loader import Source
    from thaw.model.blocks import Classifier
    from thaw.training.checkpoint import Checkpoints
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
    *,
    seed: int,
    lr_decay: float,
    cut: int,
    checkpoints: Checkpoints,
    log: Callable[[Row], None],
) -> Progress:
    """Train what the classifier's plan leaves trainable, and keep the best epoch.

    ``train`` and ``val`` give activations at ``cut``. The model as it comes in is epoch 0: where
    no epoch has a lower validation loss, it stands. Resumes from ``checkpoints``. ``log`` gets
    every new row as it is made.

    Raises:
        ThawError: the loss or its gradient is not finite.
    """
    classifier.to(runtime.device)
    trained = _trainable_state(classifier)
    groups = optim.parameter_groups(
        classifier, lr=config.lr, lr_decay=lr_decay, weight_decay=config.weight_decay
    )
    phase = _Phase(
        runtime=runtime,
        classifier=classifier,
        network=Upper(classifier, cut),
        optimizer=optim.build(groups),
        train=train,
        val=val,
        config=config,
        seed=seed,
        checkpoints=checkpoints,
        best=_copy(trained),
    )
    phase.network, phase.optimizer = runtime.prepare(phase.network, phase.optimizer)
    found = checkpoints.latest()
    if found is not None:
        phase.restore(*found)
        if runtime.is_main:
            say(f"continuing after epoch {phase.progress.epoch}, step {phase.progress.step}")
    else:
        phase.score(log, train_loss=None)
    state = phase.progress
    while state.epoch < config.epochs and state.epoch - state.best_epoch < config.patience:
        phase.one_epoch()
        phase.score(log, train_loss=state.loss_sum / len(train))
        if time.monotonic() - phase.saved_at > _WORTH_SAVING:
            phase.save()
    _load_state(classifier, phase.best)
    classifier.eval()
    return state


@dataclass
class _Phase:
    runtime: Runtime
    classifier: Classifier
    network: Any
    optimizer: Any
    train: Source
    val: Source
    config: Training
    seed: int
    checkpoints: Checkpoints
    best: dict[str, Tensor]
    progress: Progress = field(default_factory=Progress)
    saved_at: float = field(default_factory=time.monotonic)

    def one_epoch(self) -> None:
        """Train to the end of the epoch that ``progress`` stands in."""
        state, runtime = self.progress, self.runtime
        epoch = state.epoch + 1
        order = shuffled(len(self.train), self.seed, epoch)
        parts = runtime.shares(order, self.config.batch_size)
        total = len(parts) * self.config.epochs
        loaded = runtime.load(self.train, parts[state.step :], epoch)
        title = f"epoch {epoch}/{self.config.epochs}"
        self.network.train()
        for batch in progress(loaded, title, len(parts) - state.step, show=runtime.is_main):
            self._set_rate((epoch - 1) * len(parts) + state.step, total)
            runtime.seed(_derived_seed(self.seed, epoch, state.step, runtime.rank))
            losses = F.cross_entropy(
                self.network(batch.inputs),
                batch.targets,
                label_smoothing=self.config.label_smoothing,
                reduction="none",
            )
            loss_sum = (losses * batch.weights).sum()
            # DistributedDataParallel averages gradients over the processes: this makes the
            # average the gradient of the mean over the whole batch, whatever the shares are.
            runtime.accelerator.backward(loss_sum * (runtime.world / batch.total))
            self._step(epoch)
            state.loss_sum += float(runtime.sum(loss_sum.detach().double()))
            state.step += 1
            if time.monotonic() - self.saved_at > runtime.checkpoint_seconds:
                self.save()
        # Also where a checkpoint of the last step leaves nothing but the validation to do.
        self._set_rate(epoch * len(parts) - 1, total)
        runtime.same_buffers(self.classifier)

    def _step(self, epoch: int) -> None:
        accelerator = self.runtime.accelerator
        accelerator.unscale_gradients()
        # Accelerate's own clipping looks for optional packages on the disk at every step.
        norm = torch.nn.utils.clip_grad_norm_(self._parameters(), self.config.clip_norm)
        # fp16's loss scaler meets overflows as a matter of course and skips those steps itself
        if accelerator.scaler is None and not math.isfinite(float(norm)):
            raise ThawError(
                f"the gradient is not finite in epoch {epoch}, step {self.progress.step + 1}: "
                "the weights were left as they were; try a lower lr or a longer warmup_fraction"
            )
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _set_rate(self, step: int, total: int) -> None:
        scale = schedule.factor(step, total, self.config.warmup_fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * scale

    def score(self, log: Callable[[Row], None], train_loss: float | None) -> None:
        """Score the validation split, close the epoch, keep the weights if they are the best."""
        state = self.progress
        scores = logits(self.runtime, self.runtime.bare(self.network), self.val, "validation")
        targets = torch.from_numpy(self.val.targets)
        row = Row(
            epoch=state.epoch + (train_loss is not None),
            train_loss=train_loss,
            val_loss=float(F.cross_entropy(scores.double(), targets)),
            val_accuracy=float((scores.argmax(1) == targets).double().mean()),
            lr=float(self.optimizer.param_groups[0]["lr"]) if train_loss is not None else 0.0,
        )
        if not math.isfinite(row.val_loss):
            raise ThawError(
                f"the validation loss is {row.val_loss} after epoch {row.epoch}: try a lower lr"
            )
        state.history.append(row)
        state.epoch, state.step, state.loss_sum = row.epoch, 0, 0.0
        if row.val_loss < state.best_loss:
            state.best_epoch = row.epoch
            self.best = _copy(_trainable_state(self.classifier))
        if self.runtime.is_main:
            trained = "" if train_loss is None else f"train loss {train_loss:.4f}  "
            mark = "  best" if state.best_epoch == row.epoch else ""
            say(
                f"epoch {row.epoch}/{self.config.epochs}  {trained}val loss {row.val_loss:.4f}  "
                f"val accuracy {row.val_accuracy:.4f}{mark}"
            )
            log(row)

    def save(self) -> None:
        """Write a checkpoint, from the first process."""
        self.saved_at = time.monotonic()
        if not self.runtime.is_main:
            return
        state = self.progress
        tensors = {f"now.{key}": value for key, value in _trainable_state(self.classifier).items()}
        tensors |= {f"best.{key}": value for key, value in self.best.items()}
        for place, parameter in enumerate(self._parameters()):
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{place}.{key}"] = torch.as_tensor(value)
        self.checkpoints.save((state.epoch, state.step), tensors, asdict(state))

    def restore(self, tensors: dict[str, Tensor], saved: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        history = [Row(**row) for row in saved.pop("history")]
        self.progress = Progress(**saved, history=history)
        _load_state(self.classifier, _below(tensors, "now."))
        self.best = _below(tensors, "best.")
        for place, parameter in enumerate(self._parameters()):
            for key, value in _below(tensors, f"optimizer.{place}.").items():
                # In the parameter's own memory format, as the optimiser itself would make it.
                like = parameter if value.ndim else value
                kept = torch.empty_like(like, device=parameter.device)
                self.optimizer.state[parameter][key] = kept.copy_(value)

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]


def _trainable_state(classifier: Classifier) -> dict[str, Tensor]:
    """The parameters and buffers of the head and of the blocks that train."""
    assert classifier.plan is not None
    state = classifier.head.state_dict(prefix="head.")
    for index in sorted(classifier.plan.trainable):
        state |= classifier.blocks[index].state_dict(prefix=f"blocks.{index}.")
    return dict(state)


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: copy.deepcopy(value) for key, value in state.items()}


def _load_state(classifier: Classifier, state: dict[str, Tensor]) -> None:
    classifier.load_state_dict(state, strict=False)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _derived_seed(*parts: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little") >> 1
