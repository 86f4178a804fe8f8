"""Combine the images of concurrent requests into batches.

Images are decoded in a pool of threads. Forward passes run in as many threads as there are cores,
each on one core: a forward pass on all cores would wait at every layer for the core that decodes
at that moment. The images of a request that is alone are computed on all cores. A GPU computes one
forward pass after the other, which two threads start.

A batch consists of the images that are decoded when a thread is free. It waits only for images that
are being decoded at that moment, so a single request never waits.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from thaw.data.decode_error import DecodeError
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from thaw.serving.budget import Budget
    from thaw.serving.request_images import SentImage
    from thaw.serving.served_model import ServedModel
    from thaw.serving.service_metrics import ServiceMetrics

# Threads that start forward passes on a GPU: one passes on results while the GPU computes for the
# other. Images that arrive meanwhile are the next batch.
_THREADS_ON_GPU = 2
_MAX_WAIT = 0.01  # seconds that a batch waits for images which are being decoded


@dataclass(frozen=True)
class ImageProbabilities:
    """The probabilities for one image, in the order of the model's classes, and the model."""

    model: ServedModel
    probabilities: list[float]

    @property
    def label(self) -> str:
        """The class with the highest probability."""
        return self.model.predictor.classes[self.probabilities.index(max(self.probabilities))]


@dataclass(eq=False)
class _Item:
    """One image of a request: its model, its encoded content, its answer, its pixels."""

    model: ServedModel
    sent: SentImage
    future: asyncio.Future[ImageProbabilities]
    image: Tensor = field(default_factory=lambda: torch.empty(0))


class BatchingEngine:
    """Threads that decode images and compute batches with ``model``, which may be replaced.

    ``admitted`` counts the images of all requests in progress.
    """

    def __init__(
        self,
        model: ServedModel,
        metrics: ServiceMetrics,
        admitted: Budget,
        max_batch: int,
        *,
        is_on_gpu: bool = False,
    ) -> None:
        self.model = model
        self._metrics = metrics
        self._admitted = admitted
        self._max_batch = max_batch
        self._decoding = 0
        self._lock = threading.Lock()
        # Not a SimpleQueue: where another thread was faster, its get(timeout) computes a negative
        # rest, which means "no timeout" to the lock, and waits with its batch for the next image.
        self._ready: queue.Queue[_Item | None] = queue.Queue()
        self._pool = ThreadPoolExecutor(cores(), "decode")
        self._loop = asyncio.get_running_loop()
        self._threads = [
            threading.Thread(target=self._run, name=f"forward-{number}", daemon=True)
            for number in range(_THREADS_ON_GPU if is_on_gpu else cores())
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_alive(self) -> bool:
        """Return whether all threads run."""
        return all(thread.is_alive() for thread in self._threads)

    async def predict(
        self, images: Sequence[SentImage], timeout: float
    ) -> list[ImageProbabilities]:
        """Return the predictions for the encoded images of one request, all by one model.

        Raises:
            DecodeError: an image cannot be decoded; the message gives its name.
            TimeoutError: the answer took longer than ``timeout`` seconds.
        """
        model = self.model
        items = [_Item(model, image, self._loop.create_future()) for image in images]
        with self._lock:
            self._decoding += len(items)
        for item in items:
            self._pool.submit(self._decode, item)
        futures = [item.future for item in items]
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.gather(*futures)
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Compute the images that are waiting, then stop all threads."""
        self._pool.shutdown()
        self._ready.put(None)
        for thread in self._threads:
            thread.join()

    def _decode(self, item: _Item) -> None:
        try:
            if not item.future.cancelled():
                item.image = item.model.predictor.read(item.sent.content)
                self._ready.put(item)
        except Exception as error:
            if isinstance(error, DecodeError) and item.sent.name:
                error = DecodeError(f"{item.sent.name}: {error.reason}", error.remedy)
            self._answer([(item, error)])
        finally:
            with self._lock:
                self._decoding -= 1

    def _run(self) -> None:
        left_over: list[_Item] = []
        while True:
            batch, left_over = self._next_batch(left_over)
            if not batch:
                return
            alive = [item for item in batch if not item.future.cancelled()]
            if not alive:
                continue
            try:
                self._answer(list(zip(alive, self._compute(alive), strict=True)))
            except Exception as error:
                self._answer([(item, error) for item in alive])

    def _next_batch(self, left_over: list[_Item]) -> tuple[list[_Item], list[_Item]]:
        """Return the next batch, and the item after it if that belongs to another model.

        ``left_over`` is the second value of the previous call. The batch is empty when the engine
        is closed.
        """
        first = left_over[0] if left_over else self._ready.get()
        if first is None:
            self._ready.put(None)  # stops the other threads, too
            return [], []
        batch = [first]
        end = time.monotonic() + _MAX_WAIT
        most = min(self._max_batch, first.model.limit.batch)
        while len(batch) < most:
            try:
                item = self._next_item(end)
            except queue.Empty:
                break
            if item is None:
                self._ready.put(None)
                break
            if item.model is not first.model:
                return batch, [item]
            batch.append(item)
        return batch, []

    def _next_item(self, end: float) -> _Item | None:
        """Return the next decoded image; wait for it until ``end`` while images are decoded."""
        wait = end - time.monotonic() if self._decoding else 0.0
        if wait > 0:
            return self._ready.get(timeout=wait)
        return self._ready.get_nowait()

    def _compute(self, batch: Sequence[_Item]) -> list[ImageProbabilities | Exception]:
        """Return the answer to each image; an error where its probabilities are not finite."""
        model, start = batch[0].model, time.perf_counter()
        inputs = torch.cat([item.image for item in batch])
        is_alone = self._admitted.used <= len(batch)
        torch.set_num_threads(cores() if is_alone else 1)  # a setting of this thread
        with model.limit.computing:
            probabilities = model.predictor.forward(inputs, watch=True)
        self._metrics.forward_seconds.observe(time.perf_counter() - start)
        self._metrics.batch_images.observe(len(batch))
        return [
            ImageProbabilities(model, row)
            if is_finite
            else ArithmeticError(f"{model.name} gave a probability that is not finite")
            for row, is_finite in zip(
                probabilities.tolist(), probabilities.isfinite().all(dim=1).tolist(), strict=True
            )
        ]

    def _answer(self, answers: Sequence[tuple[_Item, ImageProbabilities | Exception]]) -> None:
        def set_all() -> None:
            for item, answer in answers:
                if item.future.done():
                    continue
                if isinstance(answer, Exception):
                    item.future.set_exception(answer)
                else:
                    item.future.set_result(answer)

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(set_all)
