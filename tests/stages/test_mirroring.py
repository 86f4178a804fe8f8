from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import settings, tiny
from tests.training import phase
from thaw.context import Context
from thaw.data import manifest
from thaw.data.manifest import Row
from thaw.data.pack_writer import PackWriter
from thaw.data.prepared import Prepared
from thaw.model.classifier import Classifier
from thaw.stages.mirroring import mirror_if_better
from thaw.system import project_paths
from thaw.training.calibration import calibrated_losses
from thaw.training.logit_scaling import uncalibrated_losses
from thaw.training.runtime import logits

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from thaw.config.regularize_section import CalibrationSetting

CLASSES = ["blue", "green", "red"]
Half = Literal["left", "both"]


class LeftHalf(nn.Module):
    """A block that sees the left half of an image."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the left half (N, C, H, W / 2)."""
        return images[..., : images.shape[-1] // 2]


def classifier() -> Classifier:
    """Return a classifier by the colour of the left half."""
    head = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        head.weight.copy_(4 * torch.eye(3).flip(0))
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
    return Classifier([LeftHalf()], pool, head)


def image(target: int, generator: np.random.Generator, half: Half) -> NDArray[np.uint8]:
    """Return an image with the colour of its class, under noise of one colour for each half.

    The ``left`` half, or ``both``, have the colour.
    """
    pixels = np.full((16, 16, 3), 120.0)
    colour = np.eye(3)[2 - target] * 60
    for place in (slice(0, 8), slice(8, 16)):
        is_coloured = half == "both" or place.start == 0
        pixels[:, place] += colour * is_coloured + generator.normal(0, 30, 3)
    return pixels.clip(0, 255).astype(np.uint8)


def opened(half: Half, mirror: str = "auto", images: int = 120) -> Context:
    generator = np.random.default_rng(0)
    project_paths.PREPARED.mkdir(parents=True)
    with PackWriter(project_paths.PREPARED, settings.prepare(encoding="raw")) as store:
        for number in range(images):
            store.add(image(number % 3, generator, half))
    rows = [Row(n, f"{n}.png", "", CLASSES[n % 3], "val", 16, 16) for n in range(images)]
    manifest.write(rows, project_paths.PREPARED)
    changed = settings.PARAMS.fold_bn.model_copy(update={"mirror": mirror})
    params = settings.PARAMS.model_copy(update={"fold_bn": changed})
    return Context(params, Prepared(project_paths.PREPARED), tiny.runtime())


def tried(context: Context) -> tuple[Classifier, Tensor, dict[str, Any], Tensor]:
    """Return the classifier, its logits and the report after the stage, and the plain logits."""
    preprocessing = phase.PREPROCESSING.model_copy(update={"image_size": 16})
    val = context.data.images("val", preprocessing)
    model = classifier()
    plain = logits(context.runtime, model, val, "")
    outputs, report = mirror_if_better(context, model, val, plain)
    torch.testing.assert_close(logits(context.runtime, model, val, ""), outputs)
    return model, outputs, report, plain


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_mirror_images_are_averaged_where_they_lower_the_loss(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, outputs, report, plain = tried(opened("both"))
    assert model.mirrored
    assert not torch.allclose(outputs, plain)
    found = report["mirror"]
    assert found["used"] is True
    assert found["log_loss"]["mirrored"] < found["log_loss"]["plain"]
    assert "mirror images: averaged" in (text := capsys.readouterr().err)
    assert "ms an image)" in text  # the price
    assert found["latency_ms"].keys() == {"plain", "mirrored"}
    assert all(value > 0 for value in found["latency_ms"].values())


def test_mirror_images_that_do_not_help_are_not_used() -> None:
    model, outputs, report, plain = tried(opened("left"))
    assert not model.mirrored
    assert torch.equal(outputs, plain)
    found = report["mirror"]
    assert found["used"] is False


@pytest.mark.parametrize(("mirror", "images"), [("off", 120), ("auto", 27)])
def test_nothing_is_tried_where_it_is_off_or_images_are_few(mirror: str, images: int) -> None:
    model, _, report, _ = tried(opened("both", mirror, images))
    assert not model.mirrored
    assert report == {}


@pytest.mark.parametrize("setting", ["off", "temperature"])
def test_views_are_compared_by_the_loss_that_is_kept(
    setting: CalibrationSetting,
) -> None:
    context = opened("both")
    regularize = context.params.regularize.model_copy(update={"calibration": setting})
    params = context.params.model_copy(update={"regularize": regularize})
    _, _, report, plain = tried(replace(context, params=params))
    targets = np.arange(len(plain)) % 3
    losses = uncalibrated_losses if setting == "off" else calibrated_losses
    expected = losses(plain.double().numpy(), targets).mean()
    assert report["mirror"]["log_loss"]["plain"] == pytest.approx(expected)
