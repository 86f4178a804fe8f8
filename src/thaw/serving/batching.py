"""Concurrent requests -> batches: images are decoded in threads, and computed in a thread a core.

A forward pass on one core leaves nobody waiting: one on all cores would wait at every layer for
the core that decodes at that moment. A request that is alone in the house gets all cores.

A batch is what is there when a thread is free. It waits only for images that are being decoded at
that moment, so that a single request never waits.
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

from thaw.data.decoding import DecodeError
from thaw.system.processes import cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from thaw.serving.model_reloading import Model
    from thaw.serving.service_metrics import Meters

_LINGER = 0.01  # seconds that a batch waits for images which are being decoded


class BusyError(Exception):
    """As many images as may wait are waiting."""


@dataclass(frozen=True)
class Prediction:
    """The probabilities (classes,) and whose they are."""

    model: Model
    probabilities: list[float]

    @property
    def label(self) -> str:
        """The likeliest class."""
        return self.model.predictor.classes[self.probabilities.index(max(self.probabilities))]


@dataclass(eq=False)
class _Item:
    model: Model
    content: bytes
    future: asyncio.Future[Prediction]
    image: Tensor = field(default_factory=lambda: torch.empty(0))


class Engine:
    """Computes what ``model`` says now; ``most`` images may be in the house at a time."""

    def __init__(self, model: Model, meters: Meters, *, max_batch: int, most: int) -> None:
        self.model = model
        self._meters = meters
        self._max_batch = max_batch
        self._most = most
        self._inside = 0
        self._decoding = 0
        self._lock = threading.Lock()
        self._ready: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(cores(), "decode")
        self._loop = asyncio.get_running_loop()
        self._threads = [
            threading.Thread(target=self._run, name=f"forward-{number}", daemon=True)
            for number in range(cores())
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether images are still computed."""
        return all(thread.is_alive() for thread in self._threads)

    def admit(self, images: int) -> None:
        """Let ``images`` more in; :meth:`leave` must follow.

        Raises:
            BusyError: there is no room for them.
        """
        if self._inside + images > self._most:
            raise BusyError
        self._inside += images
        self._meters.waiting.set(self._inside)

    def leave(self, images: int) -> None:
        """``images`` are answered."""
        self._inside -= images
        self._meters.waiting.set(self._inside)

    async def predict(self, images: Sequence[bytes], timeout: float) -> list[Prediction]:
        """The predictions of one request's images, by one model.

        Raises:
            DecodeError: some image cannot be decoded; its place is named.
            TimeoutError: it took longer than ``timeout`` seconds.
        """
        model = self.model
        items = [_Item(model, content, self._loop.create_future()) for content in images]
        with self._lock:
            self._decoding += len(items)
        for place, item in enumerate(items):
            self._pool.submit(self._decode, place, item)
        futures = [item.future for item in items]
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.gather(*futures)
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Compute what is there, then stop."""
        self._pool.shutdown()
        self._ready.put(None)
        for thread in self._threads:
            thread.join()

    def _decode(self, place: int, item: _Item) -> None:
        try:
            if not item.future.cancelled():
                item.image = item.model.predictor.read(item.content)
                self._ready.put(item)
        except Exception as error:
            told = DecodeError(f"image {place}: {error}") if _is_users(error) else error
            self._answer([(item, told)])
        finally:
            with self._lock:
                self._decoding -= 1

    def _run(self) -> None:
        held: list[_Item] = []
        while True:
            batch, held = self._batch(held)
            if not batch:
                return
            alive = [item for item in batch if not item.future.cancelled()]
            if not alive:
                continue
            try:
                self._answer(list(zip(alive, self._compute(alive), strict=True)))
            except Exception as error:
                self._answer([(item, error) for item in alive])

    def _batch(self, held: list[_Item]) -> tuple[list[_Item], list[_Item]]:
        """The next images of one model, none at the end; and one of another, if it came next.

        ``held`` is what was left of the time before.
        """
        first = held[0] if held else self._ready.get()
        if first is None:
            self._ready.put(None)  # for the other threads
            return [], []
        batch = [first]
        end = time.monotonic() + _LINGER
        while len(batch) < self._max_batch:
            wait = end - time.monotonic() if self._decoding else 0.0
            try:
                item = (
                    self._ready.get(timeout=max(0.0, wait))
                    if wait > 0
                    else self._ready.get_nowait()
                )
            except queue.Empty:
                break
            if item is None:
                self._ready.put(None)
                break
            if item.model is not first.model:
                return batch, [item]
            batch.append(item)
        return batch, []

    def _compute(self, batch: Sequence[_Item]) -> list[Prediction]:
        model, start = batch[0].model, time.perf_counter()
        inputs = torch.cat([item.image for item in batch])
        torch.set_num_threads(cores() if self._inside <= len(batch) else 1)  # of this thread alone
        probabilities = model.predictor.forward(inputs, watch=True)
        if not bool(probabilities.isfinite().all()):
            raise ArithmeticError(f"{model.name} gave a probability that is not finite")
        self._meters.forward.observe(time.perf_counter() - start)
        self._meters.batch.observe(len(batch))
        return [Prediction(model, row) for row in probabilities.tolist()]

    def _answer(self, answers: Sequence[tuple[_Item, Prediction | Exception]]) -> None:
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


def _is_users(error: Exception) -> bool:
    return isinstance(error, DecodeError)
