from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from tests.registry.served import CLASSES, image
from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving.loaded_model import LoadedModel, load
from thaw.system.process_map import can_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def loaded(model: Path) -> LoadedModel:
    return load(str(model))


def from_bytes(content: bytes, _: Path) -> bytes:
    return content


def from_path(content: bytes, folder: Path) -> Path:
    (folder / "a.png").write_bytes(content)
    return folder / "a.png"


def from_text(content: bytes, folder: Path) -> str:
    return str(from_path(content, folder))


def from_pil(content: bytes, _: Path) -> Image.Image:
    return Image.open(io.BytesIO(content))


def from_array(content: bytes, _: Path) -> np.typing.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("convert", [from_bytes, from_path, from_text, from_pil, from_array])
def test_every_kind_of_image_gives_the_probabilities_of_the_model(
    convert: Callable[[bytes, Path], Any], loaded: LoadedModel, model: Path, tmp_path: Path
) -> None:
    expected = Predictor(model).probabilities([image(1)]).numpy()
    found = loaded.predict_proba([convert(image(1), tmp_path)])
    assert found.shape == (1, len(CLASSES))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_table_has_label_probability_and_a_column_for_each_class(loaded: LoadedModel) -> None:
    images = [image(seed) for seed in range(40)]  # more than one batch
    table = loaded.predict(content for content in images)
    probabilities = loaded.predict_proba(images)
    assert list(table) == ["label", "probability", *(f"p_{name}" for name in CLASSES)]
    assert list(table["label"]) == [CLASSES[place] for place in probabilities.argmax(axis=1)]
    np.testing.assert_allclose(table["probability"], probabilities.max(axis=1), atol=1e-5)


def by_torch(loaded: LoadedModel) -> LoadedModel:
    buffer = io.BytesIO()
    torch.save(loaded, buffer)
    buffer.seek(0)
    return cast("LoadedModel", torch.load(buffer, weights_only=False))


def by_pickle(loaded: LoadedModel) -> LoadedModel:
    return cast("LoadedModel", pickle.loads(pickle.dumps(loaded)))


@pytest.mark.parametrize("copied", [by_pickle, by_torch, copy.deepcopy])
def test_a_copy_predicts_the_same_as_the_model(
    copied: Callable[[LoadedModel], LoadedModel], loaded: LoadedModel
) -> None:
    expected = loaded.predict_proba([image(1)])
    found = copied(loaded)
    np.testing.assert_array_equal(found.predict_proba([image(1)]), expected)
    assert (found.name, found.digest) == (loaded.name, loaded.digest)


@pytest.mark.slow
def test_a_model_can_be_sent_to_a_spawned_process(loaded: LoadedModel) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(loaded.predict_proba, [image(1)]).result()
    np.testing.assert_allclose(found, loaded.predict_proba([image(1)]), atol=1e-6)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Let torch compute in two threads, whose pool a forked process does not get."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.skipif(not can_fork(), reason="this system cannot fork")
def test_a_forked_process_predicts_with_the_model_of_its_parent(
    model: Path, two_threads: None
) -> None:
    loaded = load(str(model))
    images = [np.full((600, 600, 3), shade, dtype=np.uint8) for shade in range(40)]
    expected = loaded.predict_proba(images)
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()
    process = fork.Process(target=lambda: results.put(loaded.predict_proba(images)))
    process.start()
    process.join(30)
    process.kill()
    assert process.exitcode == 0
    np.testing.assert_allclose(results.get(), expected, atol=1e-6)


def test_no_image_gives_an_empty_table(loaded: LoadedModel) -> None:
    assert loaded.predict_proba([]).shape == (0, len(CLASSES))
    assert list(loaded.predict([]).columns)[:2] == ["label", "probability"]


def test_an_image_that_cannot_be_read_is_named_by_its_position(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    with pytest.raises(ThawError, match="image 1: not an image"):
        loaded.predict([image(), b"<html>"])
    missing = str(tmp_path / "missing.png")
    with pytest.raises(ThawError, match=r"image 0: .*missing\.png: No such file"):
        loaded.predict([missing])


@pytest.mark.parametrize("one", ["a.png", b"x", 7, np.zeros((48, 48, 3), np.uint8)])
def test_one_image_instead_of_a_list_is_refused(loaded: LoadedModel, one: Any) -> None:
    with pytest.raises(TypeError, match=r"predict\(\[image\]\)"):
        loaded.predict_proba(one)


def test_the_device_is_that_which_was_asked_for(model: Path) -> None:
    assert load(str(model), device="cpu").device == "cpu"
    with pytest.raises(ThawError, match=r"^device mps: choose auto, cpu, cuda or cuda:N"):
        load(str(model), device="mps")


@pytest.mark.gpu
def test_batches_on_a_gpu_keep_their_order(model: Path, loaded: LoadedModel) -> None:
    images = [image(seed) for seed in range(100)]  # more than three batches
    found = load(str(model), device="cuda").predict_proba(images)
    np.testing.assert_allclose(found, loaded.predict_proba(images), atol=1e-5)


def test_the_model_tells_its_name_and_classes(loaded: LoadedModel, model: Path) -> None:
    assert loaded.classes == CLASSES
    assert repr(loaded) == f"<LoadedModel {model}: 3 classes on cpu>"
    assert loaded.digest == Predictor(model).spec.digest
