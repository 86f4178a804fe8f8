"""The processes and devices of a stage, and running a network over a whole source on them.

Only it, ``accelerator``, ``sharding_plugin`` and ``thaw.system.accelerate_launcher`` know
Accelerate.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import broadcast
from torch import Tensor, nn

from thaw.data.batches import Batch, batches
from thaw.data.device_stream import fetched_later
from thaw.data.loading import BatchPart, Source, batch_parts
from thaw.data.prefetching import delayed
from thaw.errors import ThawError
from thaw.system.console import progress
from thaw.system.devices import as_tensors_name_it
from thaw.system.process_group import process_group, refuse_more_than_gpus
from thaw.training.accelerator import new_accelerator
from thaw.training.determinism import prefer_deterministic
from thaw.training.divided_tensors import divide
from thaw.training.out_of_memory import shortage_in_scoring
from thaw.training.precision import Precision, choose_precision, use_precision
from thaw.training.scoring_passes import ScoringPasses
from thaw.training.sharding_plugin import refuse_without_sharding

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    from accelerate import Accelerator
    from numpy.typing import NDArray

    from thaw.config.process_sections import Launch, Resources

SCORE_BATCH = 128


@dataclass(frozen=True)
class Runtime:
    """The processes and devices of a stage.

    ``asynchronous`` is true if commands are queued on the device, so that the program must wait
    where it reads a value: on every device except a CPU. ``shards`` is true if each process keeps
    a part of the weights that train (``launch.shard``).
    """

    accelerator: Accelerator
    workers: int
    checkpoint_seconds: float
    precision: Precision
    asynchronous: bool
    shards: bool = False

    @property
    def is_main(self) -> bool:
        """True in the process that writes files, logs and shows progress."""
        return bool(self.accelerator.is_main_process)

    @property
    def device(self) -> torch.device:
        """The device of this process, as its tensors name it: ``cpu`` or ``cuda:N``."""
        return as_tensors_name_it(self.accelerator.device)

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return int(self.accelerator.process_index)

    @property
    def world(self) -> int:
        """The number of processes."""
        return int(self.accelerator.num_processes)

    def wait(self) -> None:
        """Wait until every process has reached this call."""
        self.accelerator.wait_for_everyone()

    def seed(self, seed: int) -> None:
        """Seed the generators that this process draws from.

        ``torch.manual_seed`` would also queue a seed, with a stack trace, for every kind of device
        that is not in use: a third of a millisecond a step, and memory that is never freed.
        """
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(seed)

    def batch_parts(
        self, order: NDArray[np.int64], batch_size: int, fewest: int = 1
    ) -> list[BatchPart]:
        """Return this process's part of each batch.

        A last batch of fewer than ``fewest`` images per process joins the one before it.
        """
        return batch_parts(order, batch_size, self.rank, self.world, fewest)

    def load(
        self, source: Source, parts: list[BatchPart], epoch: int | None = None
    ) -> Generator[Batch, None, None]:
        """Yield the batches of ``parts`` on this process's device."""
        return batches(source, parts, self.device, workers=self.workers, epoch=epoch)

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of ``value`` over all processes."""
        if self.world == 1:
            return value
        total: Tensor = self.accelerator.reduce(value.to(self.device), "sum")
        return total

    def all_agree(self, condition: bool) -> bool:  # noqa: FBT001
        """Return in all processes whether ``condition`` is true in each of them."""
        return float(self.sum(torch.tensor(float(condition)))) == self.world

    def answer_of_first(self, answer: bool) -> bool:  # noqa: FBT001
        """Return the answer of the first process, in all processes."""
        own = torch.tensor(float(answer and self.is_main))
        return float(self.sum(own)) > 0.0

    def same_buffers(self, module: nn.Module) -> None:
        """Give all processes the first one's buffers: running statistics drift apart."""
        if self.world > 1:
            for buffer in module.buffers():
                buffer.copy_(broadcast(buffer.clone()))

    @contextlib.contextmanager
    def one_thread(self, when: bool) -> Iterator[None]:  # noqa: FBT001
        """Compute in one thread: others would be waited for longer than they help."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1 if when else threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    def prepare(self, network: nn.Module) -> Any:
        """Make ``network`` ready for several processes.

        The optimiser needs no wrapper of Accelerate's. The wrapper looks for optional packages on
        the disk at every step, which takes twice the time of a step of the head. In sharded
        training, torch's own function divides what is not divided yet: Accelerate's does not know
        blocks, and leaves a divided network as it is.
        """
        if self.shards:
            return divide(network, self.device, self.world)
        # To move it, Accelerate would import torch's compiler and look for divided tensors.
        return self.accelerator.prepare(network.to(self.device), device_placement=[False])

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute in ``launch.precision``; inside ``strict_float32`` change nothing."""
        return self.precision.autocast(self.device)


def start(launch: Launch, resources: Resources, device: torch.device | None = None) -> Runtime:
    """Meet the other processes of this stage.

    ``device`` is that of a single process; by default it is a GPU if there is one.

    Raises:
        ThawError: there are not as many as ``launch.processes`` says. (A wrong launch would
            otherwise train alone, silently: huggingface/accelerate#2741.) Or the device does not
            have the precision, or the weights cannot be divided as ``launch.shard`` says.
    """
    prefer_deterministic()
    has_gpu = torch.cuda.is_available() if device is None else device.type == "cuda"
    if device is not None and has_gpu:
        torch.cuda.set_device(device)  # the device that Accelerate names "cuda"
    group = process_group(launch)
    if has_gpu:
        refuse_more_than_gpus(group)
    shards = launch.shard == "on"
    accelerator = new_accelerator(has_gpu=has_gpu, shards=shards)
    wanted = group.processes
    if accelerator.num_processes != wanted:
        raise ThawError(
            f"params.yaml: launch.processes is {wanted}, but "
            f"{accelerator.num_processes} run: start stages by `dvc repro` or `thaw stage NAME`"
        )
    if shards:
        refuse_without_sharding(accelerator)
    device = accelerator.device
    precision = choose_precision(launch.precision, device)
    use_precision(precision, device)
    seconds = resources.checkpoint_minutes * 60
    is_asynchronous = device.type != "cpu"
    return Runtime(accelerator, resources.workers, seconds, precision, is_asynchronous, shards)


def forward_all(
    runtime: Runtime,
    network: nn.Module,
    source: Source,
    description: str,
    epoch: int | None = None,
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Yield (places, outputs) for this process's part of ``source``, in evaluation mode.

    With an ``epoch``, of what the source gives in that epoch of training. In mixed precision,
    where that is on, unless all of it runs inside ``strict_float32``.
    """
    network.to(runtime.device).eval()
    parts = runtime.batch_parts(np.arange(len(source)), SCORE_BATCH)
    loaded = runtime.load(source, parts, epoch)
    # Blocks that are gathered in inference mode could not train afterwards.
    no_gradients = torch.no_grad if runtime.shards else torch.inference_mode
    outputs_of = ScoringPasses(network, description, runtime.device, shards=runtime.shards).outputs

    def started() -> Iterator[tuple[NDArray[np.int64], Callable[[], Tensor], Callable[[], Tensor]]]:
        for batch in progress(loaded, description, len(parts), show=runtime.is_main):
            with no_gradients(), runtime.autocast():
                outputs = outputs_of(batch.inputs)
            yield batch.indices, fetched_later(batch.weights), fetched_later(outputs)

    # A GPU computes the next batch while this one's outputs are copied and used.
    with shortage_in_scoring(description, SCORE_BATCH, runtime.device):
        for places, weights, outputs in delayed(started(), by=int(runtime.device.type != "cpu")):
            real = weights() > 0
            yield places[real.numpy()], outputs()[real]


def logits(
    runtime: Runtime,
    network: nn.Module,
    source: Source,
    description: str,
    epoch: int | None = None,
) -> Tensor:
    """Return the logits (N, classes) for all of ``source``, on the CPU of every process.

    They are computed in float32 inside ``strict_float32``, else in the precision of training.

    Raises:
        ValueError: ``source`` is empty.
    """
    collected: Tensor | None = None
    for places, outputs in forward_all(runtime, network, source, description, epoch):
        if collected is None:  # also where all of this process's places only fill up a batch
            collected = torch.zeros(len(source), outputs.shape[1])
        collected[torch.from_numpy(places)] = outputs
    if collected is None:
        raise ValueError("there is nothing to score")
    # Each place is filled by one process and zero in the others, so the sum is exact.
    return runtime.sum(collected).cpu()
