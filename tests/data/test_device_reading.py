from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests import settings
from tests.data.preprocessing import SMALL
from thaw.data.device_reading import device_reader
from thaw.data.loading import ActivationSource, ImageSource
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_images import PackedImages
from thaw.data.packed_store import PackedStore

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.data.prepared import Prepared

INDICES = np.array([7, 0, 2])


def source_of(prepared: Prepared, **changes: float) -> Any:
    return prepared.images("train", SMALL, 3, settings.augment(**changes))


@pytest.mark.parametrize("epoch", [None, 2])
def test_images_are_copied_as_they_are_packed(prepared: Prepared, epoch: int | None) -> None:
    source = source_of(prepared, flip=0.5, rotate=20.0, hue=0.1)
    reader = device_reader(source, epoch)
    stored = reader.read(INDICES)
    assert isinstance(stored, PackedImages)
    found = reader.finish(stored, INDICES)
    expected = source.finish(source.read(INDICES), INDICES, epoch)
    torch.testing.assert_close(found, expected, rtol=0, atol=2.5 / 255 / 0.1)


@pytest.mark.parametrize("changes", [{"noise": 0.1}, {"randaugment": 2}])
@pytest.mark.parametrize("threads", [0, 2])
def test_images_with_draws_of_the_cpu_are_finished_before_the_copy(
    prepared: Prepared, changes: dict[str, float], threads: int
) -> None:
    source = source_of(prepared, flip=0.5, **changes)
    reader = device_reader(source, 2)
    pool = ThreadPoolExecutor(threads) if threads else None
    stored = reader.read(INDICES, threads=pool)
    expected = source.finish(source.read(INDICES), INDICES, 2)
    assert isinstance(stored, torch.Tensor)
    assert torch.equal(stored, expected)
    assert reader.finish(stored, INDICES) is stored


def test_activations_are_copied_as_they_are_stored() -> None:
    source = ActivationSource(np.arange(60, dtype=np.float32).reshape(12, 5), np.arange(12))
    reader = device_reader(source, 1)
    stored = reader.read(INDICES)
    assert isinstance(stored, torch.Tensor)
    assert torch.equal(reader.finish(stored, INDICES), source.read(INDICES))


@pytest.mark.parametrize("name", ["", "crop", "flip", "rotate", "tint", "hue", "contrast", "all"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_a_device_gets_the_pixels_that_pillow_and_the_cpu_compute(
    name: str, interpolation: str, tmp_path: Path
) -> None:
    # the tolerance of docs/gpu.md, on photographs of two sizes, in units of 1/255
    generator = np.random.default_rng(0)
    with PackWriter(tmp_path, settings.prepare(encoding="raw")) as writer:
        for number in range(6):
            height, width = (160, 128) if number % 2 else (128, 171)
            coarse = generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)
            writer.add(np.asarray(Image.fromarray(coarse).resize((width, height))))
    photo = SMALL.model_copy(
        update={"image_size": 112, "crop_pct": 0.875, "interpolation": interpolation}
    )
    strengths = {"crop": 0.5, "flip": 0.5, "rotate": 20.0, "tint": 0.2, "hue": 0.1, "contrast": 0.2}
    changes = strengths if name == "all" else {name: strengths[name]} if name else {}
    source = ImageSource(
        PackedStore(tmp_path),
        np.arange(6),
        np.zeros(6, dtype=np.int64),
        photo,
        3,
        settings.augment(**changes),
    )
    everything, reader = np.arange(6), device_reader(source, 1)
    found = photo.denormalize(reader.finish(reader.read(everything), everything))
    expected = photo.denormalize(source.finish(source.read(everything), everything, 1))
    moved = (found - expected).abs() * 255
    assert float(moved.max()) <= 2.5
    assert float((moved > 0.5).double().mean()) < (0.03 if interpolation == "bicubic" else 0.12)
