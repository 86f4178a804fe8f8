from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from tests.registry.served import image, overflowing
from thaw.data.decode_error import DecodeError
from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving.served_model import load_served_model
from thaw.serving.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_a_loaded_model_has_its_name_version_and_digest(model: Path) -> None:
    served = load_served_model(str(model), Settings(max_megapixels=0.001))
    assert (served.name, served.version) == (str(model), served.digest)
    assert served.digest == Predictor(model).spec.digest
    with pytest.raises(DecodeError, match=r"0\.001"):
        served.predictor.read(image())


def test_a_model_that_cannot_compute_is_not_loaded(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Predictor, "forward", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        load_served_model(str(model), Settings())


def test_a_device_without_memory_for_the_model_is_named_with_the_remedy(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Predictor, "forward", fail)
    with pytest.raises(ThawError, match=r"^out of memory on cpu with 1 image at once.*--max-batch"):
        load_served_model(str(model), Settings())


def test_a_model_without_any_finite_probability_is_refused(model: Path, tmp_path: Path) -> None:
    broken = overflowing(model, tmp_path / "broken")
    with pytest.raises(ThawError, match=rf"^{broken} gives no .* finite: .*`thaw status`"):
        load_served_model(str(broken), Settings())


def test_a_model_that_overflows_for_a_black_image_only_is_served(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Predictor.forward
    monkeypatch.setattr(
        Predictor,
        "forward",
        lambda self, images: forward(self, images) * (1 if images.any() else float("nan")),
    )
    assert load_served_model(str(model), Settings()).digest == Predictor(model).spec.digest
