"""The training loop: one for the warm-up, the unfreeze and the training after the fold.

The only module that knows Accelerate. A phase is a pure function of its inputs and the seed:
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

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from thaw.console import progress, say
from thaw.data.loader import Share, Source, batches, shares, shuffled
from thaw.errors import ThawError
from thaw.model.blocks import Upper
from thaw.training import optim, schedule
from thaw.training.history import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from thaw.config import Launch, Training
    from thaw.model.blocks import Classifier
    from thaw.training.checkpoint import Checkpoints

_SCORE_BATCH = 128


@dataclass(frozen=True)
class Runtime:
    """The processes and devices of a stage."""

    accelerator: Accelerator
    workers: int
    checkpoint_seconds: float

    @property
    def is_main(self) -> bool:
        """Whether this process writes files, logs and shows progress."""
        return bool(self.accelerator.is_main_process)

    def wait(self) -> None:
        """Until every process is here."""
        self.accelerator.wait_for_everyone()

    def shares(self, order: NDArray[np.int64], batch_size: int) -> list[Share]:
        """This process's part of each batch."""
        accelerator = self.accelerator
        return shares(order, batch_size, accelerator.process_index, accelerator.num_processes)


def start(launch: Launch) -> Runtime:
    """Meet the other processes of this stage.

    Raises:
        ThawError: there are not as many as ``launch.processes`` says. (A wrong launch would
            otherwise train alone, silently: huggingface/accelerate#2741.)
    """
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    has_gpu = torch.cuda.is_available()
    if launch.mixed_precision == "fp16" and not has_gpu:
        raise ThawError(
            "params.yaml: launch.mixed_precision: fp16 needs a GPU (a CPU would silently run "
            "fp32); bf16 works on both"
        )
    accelerator = Accelerator(cpu=not has_gpu, mixed_precision=launch.mixed_precision)
    if accelerator.num_processes != launch.processes:
        raise ThawError(
            f"params.yaml: launch.processes is {launch.processes}, but "
            f"{accelerator.num_processes} run: start stages by `dvc repro` or `thaw stage NAME`"
        )
    return Runtime(accelerator, launch.workers, launch.checkpoint_minutes * 60)


def forward_all(
    runtime: Runtime, network: nn.Module, source: Source, description: str
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """(places, outputs) for this process's part of ``source``, in evaluation mode."""
    accelerator = runtime.accelerator
    network.to(accelerator.device).eval()
    parts = runtime.shares(np.arange(len(source)), _SCORE_BATCH)
    loaded = batches(source, parts, accelerator.device, workers=runtime.workers)
    for batch in progress(loaded, description, len(parts), show=runtime.is_main):
        with torch.inference_mode(), accelerator.autocast():
            outputs = network(batch.inputs).float()
        real = (batch.weights > 0).cpu()
        yield batch.places[real.numpy()], outputs.cpu()[real]


def logits(runtime: Runtime, network: nn.Module, source: Source, description: str) -> Tensor:
    """The logits (N, classes) for all of ``source``, on the CPU of every process."""
    collected: Tensor | None = None
    for places, outputs in forward_all(runtime, network, source, description):
        if collected is None:  # also where all of this process's places only fill up a batch
            collected = torch.zeros(len(source), outputs.shape[1])
        collected[torch.from_numpy(places)] = outputs
    if collected is None:
        raise ValueError("there is nothing to score")
    if runtime.accelerator.num_processes > 1:
        # Each place is filled by one process and zero in the others, so the sum is exact.
        moved = collected.to(runtime.accelerator.device)
        collected = runtime.accelerator.reduce(moved, "sum").cpu()
    return collected


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
    device = runtime.accelerator.device
    classifier.to(device)
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
    phase.network, phase.optimizer = runtime.accelerator.prepare(phase.network, phase.optimizer)
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
        state, accelerator = self.progress, self.runtime.accelerator
        epoch = state.epoch + 1
        parts = self.runtime.shares(
            shuffled(len(self.train), self.seed, epoch), self.config.batch_size
        )
        total = len(parts) * self.config.epochs
        loaded = batches(
            self.train,
            parts[state.step :],
            accelerator.device,
            workers=self.runtime.workers,
            epoch=epoch,
        )
        title = f"epoch {epoch}/{self.config.epochs}"
        self.network.train()
        for batch in progress(
            loaded, title, len(parts) - state.step, show=self.runtime.is_main
        ):
            self._set_rate((epoch - 1) * len(parts) + state.step, total)
            torch.manual_seed(
                _derived_seed(self.seed, epoch, state.step, accelerator.process_index)
            )
            losses = F.cross_entropy(
                self.network(batch.inputs),
                batch.targets,
                label_smoothing=self.config.label_smoothing,
                reduction="none",
            )
            loss_sum = (losses * batch.weights).sum()
            # DistributedDataParallel averages gradients over the processes: this makes the
            # average the gradient of the mean over the whole batch, whatever the shares are.
            accelerator.backward(loss_sum * (accelerator.num_processes / batch.total))
            self._step(epoch)
            state.loss_sum += float(self._sum(loss_sum.detach().double()))
            state.step += 1
            if time.monotonic() - self.saved_at > self.runtime.checkpoint_seconds:
                self.save()
        self._same_buffers()

    def _step(self, epoch: int) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = self.runtime.accelerator.clip_grad_norm_(parameters, self.config.clip_norm)
        # fp16's loss scaler meets overflows as a matter of course and skips those steps itself
        if self.runtime.accelerator.scaler is None and not math.isfinite(float(norm)):
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

    def _sum(self, value: Tensor) -> Tensor:
        if self.runtime.accelerator.num_processes == 1:
            return value
        total: Tensor = self.runtime.accelerator.reduce(value, "sum")
        return total

    def _same_buffers(self) -> None:
        """Running statistics drift apart between processes; those of the first one count."""
        if self.runtime.accelerator.num_processes > 1:
            for buffer in self.classifier.buffers():
                buffer.copy_(broadcast(buffer.clone()))

    def score(self, log: Callable[[Row], None], train_loss: float | None) -> None:
        """Score the validation split, close the epoch, and keep the weights if they are the best."""
        state = self.progress
        scores = logits(self.runtime, self._bare(), self.val, "validation")
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

    def _bare(self) -> nn.Module:
        module: nn.Module = self.runtime.accelerator.unwrap_model(self.network)
        return module

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
                kept = torch.empty_like(parameter) if value.ndim else torch.empty_like(value)
                self.optimizer.state[parameter][key] = kept.copy_(value)

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]


def _trainable_state(classifier: Classifier) -> dict[str, Tensor]:
    """The parameters and buffers of the head and of the blocks that train."""
    assert classifier.plan is not None
    prefixes = ("head.", *(f"blocks.{index}." for index in classifier.plan.trainable))
    return {k: v for k, v in classifier.state_dict().items() if k.startswith(prefixes)}


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: copy.deepcopy(value) for key, value in state.items()}


def _load_state(classifier: Classifier, state: dict[str, Tensor]) -> None:
    classifier.load_state_dict(state, strict=False)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _derived_seed(*parts: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little") >> 1
