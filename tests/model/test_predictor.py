from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests import settings, tiny
from tests.data.deep_pictures import png_16, tiff
from tests.model.test_directory import BACKBONE, CLASSES, made
from thaw.data.decode_error import DecodeError
from thaw.data.decoding import decode
from thaw.data.loading import ImageSource
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import PackedStore
from thaw.data.preprocessing import Preprocessing
from thaw.model import directory
from thaw.model.drift import FoldedPlaces, Reference
from thaw.model.predictor import Predictor
from thaw.training.runtime import logits

SHORT_SIDE = 40
FORMATS = Path(__file__).parents[1] / "formats"
PREPROCESSING = Preprocessing(
    short_side=SHORT_SIDE,
    max_megapixels=0.05,
    image_size=32,
    crop_pct=0.9,
    interpolation="bicubic",
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.25, 0.3),
)


def encoded(size: tuple[int, int], kind: str, mode: str = "RGB", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 4), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGBA").convert(mode).save(buffer, kind)
    return buffer.getvalue()


def encoded_grey(values: np.typing.NDArray[np.float64]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = [
    encoded((32, 32), "PNG", seed=1),
    encoded((120, 80), "JPEG", seed=2),  # larger than what is packed
    encoded((50, 90), "PNG", "RGBA", seed=3),
    encoded((20, 30), "PNG", "L", seed=4),
    encoded((32, 32), "WEBP", seed=5),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(params=["original", "merged"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    model, spec = made(request.param)
    spec = spec.model_copy(update={"preprocessing": PREPROCESSING})
    directory.save(model, spec, tmp_path / "model")
    return tmp_path / "model"


def as_in_training(folder: Path, images: list[bytes], packed: Path) -> torch.Tensor:
    """Compute the probabilities with the packed images, a source and the runtime of training."""
    config = settings.prepare(
        val_fraction=0.2,
        test_fraction=0.2,
        short_side=SHORT_SIDE,
        encoding="raw",
        max_megapixels=PREPROCESSING.max_megapixels,
    )
    packed.mkdir()
    with PackWriter(packed, config) as store:
        for content in images:
            decoded = decode(content, short_side=SHORT_SIDE, max_megapixels=config.max_megapixels)
            store.add(decoded.pixels)
    ids = np.arange(len(images), dtype=np.int64)
    model, spec = directory.load(folder)
    source = ImageSource(PackedStore(packed), ids, np.zeros_like(ids), spec.preprocessing)
    return logits(tiny.runtime(), model, source, "").softmax(dim=1)


def test_served_probabilities_equal_the_evaluated_ones(folder: Path, tmp_path: Path) -> None:
    probabilities = Predictor(folder).probabilities(IMAGES)
    assert torch.equal(probabilities, as_in_training(folder, IMAGES, tmp_path / "packed"))


def test_an_image_of_12_bits_is_read_with_the_range_that_the_model_was_trained_with(
    folder: Path, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (32, 32))
    in_8_bits = encoded_grey(np.rint(values * (255 / 4095)))
    model, spec = directory.load(folder)
    for pixel_range in ((0.0, 4095.0), "type"):
        preprocessing = PREPROCESSING.model_copy(update={"pixel_range": pixel_range})
        spec = spec.model_copy(update={"preprocessing": preprocessing})
        directory.save(model, spec, tmp_path / str(pixel_range))
        predictor = Predictor(tmp_path / str(pixel_range))
        is_equal = torch.equal(predictor.read(png_16(values)), predictor.read(in_8_bits))
        assert is_equal == (pixel_range != "type")
    with pytest.raises(DecodeError, match="values from -5 to 9"):
        predictor.read(tiff(np.array([[-5, 9]], "i4")))


def test_a_model_of_an_earlier_format_cuts_values_off_as_it_did() -> None:
    predictor = Predictor(FORMATS / "3" / "one_tap_merged")
    read = predictor.read(tiff(np.tile(np.array([-1000, 100_000], "i4"), (32, 16))))
    assert set(read.flatten().tolist()) == {0, 255}


def test_probabilities_are_rows_that_add_up_to_one(folder: Path) -> None:
    probabilities = Predictor(folder).probabilities(IMAGES)
    assert probabilities.shape == (len(IMAGES), len(CLASSES))
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(IMAGES)))
    assert len({tuple(row) for row in probabilities.tolist()}) == len(IMAGES)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_an_image_is_judged_alike_in_any_batch(folder: Path, batch_size: int) -> None:
    whole = Predictor(folder).probabilities(IMAGES)
    parts = Predictor(folder, batch_size=batch_size).probabilities(IMAGES)
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)


def test_the_order_of_the_probabilities_is_that_of_the_classes(folder: Path) -> None:
    predictor = Predictor(folder)
    assert predictor.classes == CLASSES
    assert predictor.spec.backbone == BACKBONE


def test_no_images_give_no_rows(folder: Path) -> None:
    assert Predictor(folder).probabilities([]).shape == (0, len(CLASSES))


@pytest.mark.parametrize("batch_size", [1, 2, 64])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<html>", "not an image"),
        (IMAGES[1][:400], "cannot be decoded"),
        (encoded((300, 200), "PNG"), "megapixels"),
    ],
    ids=["empty", "html", "truncated", "huge"],
)
def test_a_file_that_is_not_an_image_is_refused_with_its_position(
    folder: Path, content: bytes, reason: str, batch_size: int
) -> None:
    predictor = Predictor(folder, batch_size)
    with pytest.raises(DecodeError, match=rf"^image 3: .*{reason}"):
        predictor.probabilities([*IMAGES[:3], content, IMAGES[4]])


@pytest.mark.parametrize(("watched", "looked_at"), [(False, 40), (True, 80)])
def test_each_thread_looks_at_what_it_computes_itself(
    watched: bool, looked_at: int, tmp_path: Path
) -> None:
    model, spec = made("merged")
    spec = spec.model_copy(update={"preprocessing": PREPROCESSING})
    inputs = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
    places = FoldedPlaces.of(spec.folded, spec.merged)
    with places.watched(model.eval()) as moments, torch.inference_mode():
        model(PREPROCESSING.normalize(inputs / 255))
    reference = Reference({name: (m.mean, m.std) for name, m in moments.items()})
    directory.save(model, spec, tmp_path / "model", reference)
    predictor = Predictor(tmp_path / "model")
    assert predictor.drift is not None

    watching = threading.get_ident()

    def meanwhile(*_: object) -> None:
        if threading.get_ident() == watching:
            images = inputs if watched else torch.zeros_like(inputs)
            other = threading.Thread(target=lambda: predictor.forward(images, watch=watched))
            other.start()
            other.join()

    (conv, _), *_ = spec.merged
    handle = predictor.classifier.get_submodule(conv).register_forward_hook(meanwhile)
    found = predictor.forward(inputs, watch=True)
    handle.remove()
    assert torch.equal(found, predictor.forward(inputs))
    assert predictor.drift.images == looked_at
    assert predictor.drift.score == pytest.approx(0, abs=1e-3)
