from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.registry.served import image
from tests.serving.service import PNG, metric, post
from thaw.model.predictor import Predictor

if TYPE_CHECKING:
    from pathlib import Path


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
