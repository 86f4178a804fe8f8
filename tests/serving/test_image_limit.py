from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from thaw.model.inference_memory import bytes_per_image
from thaw.model.predictor import Predictor
from thaw.serving import image_limit
from thaw.serving.image_limit import limit_images
from thaw.training.out_of_memory import MemoryShortageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def large(model: Path) -> Predictor:
    """A model whose images have 1024 pixels."""
    predictor = Predictor(model)
    wide = predictor.spec.preprocessing.model_copy(update={"image_size": 1024})
    predictor.spec = predictor.spec.model_copy(update={"preprocessing": wide})
    return predictor


@pytest.mark.parametrize(
    ("images", "batch", "at_once"),
    [(1, 1, 1), (3, 1, 3), (4, 1, 4), (9, 2, 4), (127, 31, 4), (1000, 32, 4)],
)
def test_the_batches_of_all_cores_fit_into_half_of_the_memory(
    images: int, batch: int, at_once: int, large: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = bytes_per_image(large.classifier, 1024)
    monkeypatch.setattr(image_limit, "cores", lambda: 4)
    monkeypatch.setattr(image_limit, "total_memory", lambda: 2 * images * needed + 10)
    limit = limit_images("m", large, 32)
    assert limit.batch == batch
    assert [limit.computing.acquire(blocking=False) for _ in range(at_once + 1)] == [
        *[True] * at_once,
        False,
    ]


def test_a_model_whose_images_do_not_fit_is_refused(
    large: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = bytes_per_image(large.classifier, 1024)
    monkeypatch.setattr(image_limit, "total_memory", lambda: 2 * needed - 10)
    with pytest.raises(MemoryShortageError, match=r"^m takes .* GB .* 1024 x 1024 .*`thaw status`"):
        limit_images("m", large, 32)


def test_images_of_a_usual_size_are_not_limited(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_limit, "total_memory", lambda: 1)
    assert limit_images("m", Predictor(model), 32).batch == 32


def test_a_gpu_is_not_limited(large: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_limit, "total_memory", lambda: 1)
    large.device = torch.device("cuda")
    assert limit_images("m", large, 64).batch == 64
