from __future__ import annotations

import csv
import json
import shutil
import weakref
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests import tf32
from tests.data.deep_pictures import png_16
from tests.data.pictures import encoded
from tests.docs.commands import python_of
from tests.registry.served import CLASSES, image
from thaw.config import overlaps
from thaw.errors import ThawError
from thaw.model.predictor import Predictor
from thaw.serving import export, export_formats
from thaw.serving.batch_prediction import predict_folder
from thaw.serving.export import export_model
from thaw.serving.export_result import Latency

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from thaw.literals import ExportFormat
    from thaw.serving.export_result import Exported


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(20):
        (folder / f"{number}.png").write_bytes(image(number))
    return folder


@pytest.fixture(scope="module")
def made(
    model: Path, images: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[ExportFormat], Exported]:
    """Return a function that exports the model, once in each format: an export takes seconds."""

    @cache
    def export_once(kind: ExportFormat) -> Exported:
        for package in export_formats.PACKAGES[kind]:
            pytest.importorskip(package)
        folder = tmp_path_factory.mktemp("made")
        return export_model(str(model), kind, folder / "exported", images, folder)

    return export_once


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "torch-export"])
def test_an_export_is_one_file_that_computes_the_model_and_describes_it(
    kind: ExportFormat,
    model: Path,
    made: Callable[[ExportFormat], Exported],
) -> None:
    exported = made(kind)
    out = exported.out
    assert list(out.parent.iterdir()) == [out]
    assert out.stat().st_size == exported.bytes
    assert (exported.kind, exported.comparison.images) == (kind, 20)
    overlaps.refuse_to_replace(out, "--out", export._MARKS, "an exported model")  # accepts it
    if kind == "onnx":
        read = pytest.importorskip("onnx").load(out)
        (entry,) = [entry.value for entry in read.metadata_props if entry.key == "thaw"]
        about = json.loads(entry)
        assert about["classes"] == CLASSES
        assert about["digest"] == Predictor(model).spec.digest
        assert about["preprocessing"]["image_size"] == 32


@pytest.mark.slow
def test_the_documented_programs_give_the_label_of_the_model(
    model: Path,
    made: Callable[[ExportFormat], Exported],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    blocks = python_of(Path(__file__).parents[2] / "docs/serving.md")
    programs = [each for each in blocks if "onnxruntime" in each or "torch.export" in each]
    predictor = Predictor(model)
    kinds: dict[str, ExportFormat] = {"model.onnx": "onnx", "model.pt2": "torch-export"}
    for name, kind in kinds.items():
        shutil.copy(made(kind).out, tmp_path / name)
    (tmp_path / "photo.jpg").write_bytes(image(1))
    monkeypatch.chdir(tmp_path)
    exec("".join(programs), {})
    label = CLASSES[int(predictor.probabilities([image(1)]).argmax())]
    assert capsys.readouterr().out.split() == [label, label]


def files_of_every_kind() -> dict[str, bytes]:
    """Return an image file by name for each way in which Pillow's own conversion may differ."""
    found = {
        "rgba.png": encoded("PNG", "RGBA", (40, 30)),
        "grey_and_alpha.png": encoded("PNG", "LA", (40, 30)),
        "transparent_palette.png": encoded("PNG", "P", (40, 30), transparency=3),
        "transparent_grey.png": encoded("PNG", "L", (40, 30), transparency=200),
        "transparent.gif": encoded("GIF", "P", (40, 30), transparency=3),
        "rgba.webp": encoded("WEBP", "RGBA", (40, 30)),
        "palette.png": encoded("PNG", "P", (40, 30)),
        "bits.png": encoded("PNG", "1", (40, 30)),
        "grey.jpg": encoded("JPEG", "L", (40, 30)),
        "cmyk.jpg": encoded("JPEG", "CMYK", (40, 30)),
        "rotated.tif": encoded("TIFF", "RGB", (40, 30), orientation=6),
        "rotated_transparent.png": encoded("PNG", "LA", (40, 30), orientation=6),
        "grey_16.tif": encoded("TIFF", "I;16", (40, 30)),
    }
    for channels in range(1, 5):
        values = np.random.default_rng(channels).integers(0, 65536, (40, 30, channels), np.uint16)
        found[f"channels_{channels}_of_16.png"] = png_16(values)
    for orientation in range(1, 9):
        found[f"rotated_{orientation}.jpg"] = encoded("JPEG", "RGB", (40, 30), orientation)
    return found


@pytest.mark.slow
def test_the_documented_programs_give_the_labels_of_predict_for_files_of_every_kind(
    model: Path,
    made: Callable[[ExportFormat], Exported],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocks = python_of(Path(__file__).parents[2] / "docs/serving.md")
    programs = [each for each in blocks if "onnxruntime" in each or "torch.export" in each]
    shutil.copy(made("onnx").out, tmp_path / "model.onnx")
    shutil.copy(made("torch-export").out, tmp_path / "model.pt2")
    files = files_of_every_kind()
    (tmp_path / "files").mkdir()
    for name, content in files.items():
        (tmp_path / "files" / name).write_bytes(content)
    (tmp_path / "photo.jpg").write_bytes(image(1))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec("".join(programs), names)
    predict_folder(str(model), tmp_path / "files", tmp_path / "out.csv").raise_problems()
    with (tmp_path / "out.csv").open(newline="") as stream:
        rows = {row["path"]: row for row in csv.DictReader(stream)}
    assert rows.keys() == files.keys()
    reader = Predictor(model).reader
    for name, content in files.items():
        pixels = names["read"](f"files/{name}")
        assert np.array_equal(pixels, reader.read_original(content).numpy()), name
        (by_onnx,) = names["session"].run(["probabilities"], {"images": pixels})
        by_torch = names["program"](torch.tensor(pixels)).detach().numpy()
        for found in (by_onnx[0], by_torch[0]):
            assert names["classes"][found.argmax()] == rows[name]["label"], name
            assert found.max() == pytest.approx(float(rows[name]["probability"]), abs=1e-4), name


@pytest.fixture(scope="module")
def loaded(made: Callable[[ExportFormat], Exported]) -> Callable[[Tensor], Tensor]:
    """Return what a file with the torch.export graph computes; to load it takes seconds."""
    return export_formats.load_exported("torch-export", made("torch-export").out.read_bytes(), 1)


@pytest.fixture
def exported(
    made: Callable[[ExportFormat], Exported],
    loaded: Callable[[Tensor], Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Let every export write the same file, because an export takes seconds."""
    content = made("torch-export").out.read_bytes()
    monkeypatch.setattr(export, "export", lambda *_: content)
    monkeypatch.setattr(export, "load_exported", lambda *_: loaded)


@pytest.mark.slow
@pytest.mark.usefixtures("exported")
def test_the_comparison_computes_in_float32_on_a_device_that_rounds_to_tf32(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf32.simulate(monkeypatch)
    monkeypatch.setattr("thaw.serving.parity.TOLERANCE", 1e-5)
    export_model(str(model), "torch-export", tmp_path / "exported", images, tmp_path)
    assert (tmp_path / "exported").stat().st_size > 0


def test_the_message_about_a_missing_package_names_the_extra(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(export_formats.PACKAGES, "onnx", ("onnx_that_is_not_there",))
    with pytest.raises(ThawError, match=r"needs onnx_that_is_not_there: pip install .*\[export\]"):
        export_model(str(model), "onnx", tmp_path / "x.onnx", images, tmp_path)


def test_without_images_for_the_comparison_no_file_is_written(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ThawError, match="give --images FOLDER"):
        export_model(str(model), "torch-export", tmp_path / "x", None, tmp_path / "nothing")
    assert not (tmp_path / "x").exists()


def test_images_of_a_folder_are_not_kept_in_memory(model: Path, images: Path) -> None:
    pairs, count = export._real_images(Predictor(model).reader, images, images)
    originals = [weakref.ref(original) for _, original in pairs]
    assert len(originals) == count == 20
    assert sum(original() is not None for original in originals) <= 1


def test_without_a_readable_image_no_file_is_written(model: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged.png").write_bytes(b"no image")
    with pytest.raises(ThawError, match="no image could be read: give a folder of images"):
        export_model(str(model), "torch-export", tmp_path / "x", tmp_path, tmp_path)
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("exported")
def test_the_latency_is_that_of_an_image_of_limited_size(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "large.png").write_bytes(image(size=900))
    timed = []

    def recorded(_: Callable[[Tensor], Tensor], images: Tensor) -> Latency:
        timed.append(tuple(images.shape))
        return Latency(1.0, 1.0, 16)

    monkeypatch.setattr(export, "_latency", recorded)
    export_model(str(model), "torch-export", tmp_path / "x.pt2", photos, tmp_path)
    assert timed == [(1, 3, 32, 32), (1, 3, 512, 512)]


@pytest.mark.slow
@pytest.mark.usefixtures("exported")
def test_an_export_replaces_an_export_and_no_other_file(
    model: Path,
    images: Path,
    made: Callable[[ExportFormat], Exported],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export, "_MAX_IMAGES", 2)
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "photo.png").write_bytes(image())
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    names = (
        "photo.png",
        "params.yaml",
        "model/model.json",
        "model/x",
        "models/fold_bn/x",
        ".git/x",
    )
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    for out in (*map(Path, names), images / "3.png", images / "new.png"):
        with pytest.raises(ThawError, match=r"--out: .*give another --out"):
            export_model("model", "torch-export", out, images, tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    assert len(list(images.iterdir())) == 20
    content = made("torch-export").out.read_bytes()
    (tmp_path / "x.pt2").write_bytes(content + b"of an earlier export")
    export_model("model", "torch-export", tmp_path / "x.pt2", images, tmp_path)
    assert (tmp_path / "x.pt2").read_bytes() == content
