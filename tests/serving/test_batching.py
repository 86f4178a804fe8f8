from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.registry.served import image, uniform
from tests.serving.service import PNG, metric, post, running
from thaw.model.predictor import Predictor
from thaw.serving import batching, served_model
from thaw.serving.batching import BatchingEngine
from thaw.serving.budget import Budget
from thaw.serving.image_limit import ImageLimit
from thaw.serving.service_metrics import ServiceMetrics

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def test_concurrent_requests_share_batches_and_get_their_own_answers(url: str, model: Path) -> None:
    images = [image(seed) for seed in range(64)]
    expected = Predictor(model).probabilities(images).tolist()
    before = metric(url, "thaw_batch_images_count")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda content: post(url, data=content, headers=PNG), images))
    for answer, wanted in zip(answers, expected, strict=True):
        (found,) = answer.json()["predictions"]
        assert list(found["probabilities"].values()) == pytest.approx(wanted, abs=1e-5)
    assert metric(url, "thaw_batch_images_count") - before < 64


def test_all_images_of_a_request_are_computed_once(url: str) -> None:
    before = metric(url, "thaw_batch_images_count"), metric(url, "thaw_batch_images_sum")
    files = [("image", (f"{seed}.png", image(seed))) for seed in range(3)]
    assert post(url, files=files).status_code == 200
    assert metric(url, "thaw_batch_images_sum") - before[1] == 3
    assert metric(url, "thaw_batch_images_count") - before[0] <= 3


@pytest.mark.parametrize(("is_on_gpu", "threads"), [(True, 2), (False, 5)])
def test_two_threads_start_the_passes_of_a_gpu_and_each_core_of_a_cpu_computes_one(
    is_on_gpu: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "cores", lambda: 5)

    async def started() -> int:
        model: Any = None  # which the first image would need
        engine = BatchingEngine(model, ServiceMetrics(), Budget(1), 1, is_on_gpu=is_on_gpu)
        count = len(engine._threads)
        engine.close()
        return count

    assert asyncio.run(started()) == threads


@pytest.mark.slow
def test_batches_are_no_larger_and_no_more_at_once_than_the_model_allows(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, running_now, most = Predictor.forward, threading.Semaphore(1), [0]

    def watched(self: Predictor, images: Tensor, *, watch: bool = False) -> Tensor:
        assert running_now.acquire(blocking=False)
        most.append(len(images))
        found = forward(self, images, watch=watch)
        running_now.release()
        return found

    limit = ImageLimit(2, threading.Semaphore(1))
    monkeypatch.setattr(served_model, "limit_images", lambda *_: limit)
    monkeypatch.setattr(Predictor, "forward", watched)
    with running(str(model)) as url, ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda n: post(url, data=image(n), headers=PNG), range(48))
        assert {answer.status_code for answer in answers} == {200}
    assert max(most) == 2


@pytest.mark.slow
def test_an_image_without_finite_probabilities_spoils_no_other_request(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Predictor.forward

    def overflowing(self: Predictor, images: Tensor, *, watch: bool = False) -> Tensor:
        """Return NaN for black images, as a network in fp16 does for some."""
        found = forward(self, images, watch=watch).clone()
        found[images.amax(dim=(1, 2, 3)) == 0] = float("nan")
        return found

    monkeypatch.setattr(Predictor, "forward", overflowing)
    images = [uniform(0) if number % 4 == 0 else image(number) for number in range(64)]
    with running(str(model)) as url, ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda content: post(url, data=content, headers=PNG), images)
        statuses = [answer.status_code for answer in answers]
        assert metric(url, "thaw_batch_images_count") < len(images)
    assert statuses == [500 if number % 4 == 0 else 200 for number in range(64)]


@pytest.mark.soak
def test_the_last_images_of_many_bursts_are_answered(model: Path) -> None:
    images = [image(number) for number in range(64)]
    with running(str(model)) as url, ThreadPoolExecutor(16) as pool:
        for burst in range(300):  # of 120 bursts on busy cores, one lost its last batch
            answers = pool.map(lambda content: post(url, data=content, headers=PNG), images)
            assert {answer.status_code for answer in answers} == {200}, burst
