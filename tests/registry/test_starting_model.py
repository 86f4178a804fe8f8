from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pytest
import torch

from tests import settings
from tests.registry.served import image, model_directory
from thaw.data import manifest
from thaw.data.manifest import Row
from thaw.data.pack_writer import PackWriter
from thaw.data.packed_store import SETTINGS
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.model import batchnorm, block_chain, directory
from thaw.registry.register import ModelRecord, register
from thaw.registry.starting_model import begin, parent_of
from thaw.tracking.store import connect

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.config.params import Params
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

BACKBONE = "timm/test_efficientnet"


@pytest.fixture
def data(tmp_path: Path) -> Prepared:
    """Six images of two classes."""
    folder = tmp_path / "prepared"
    folder.mkdir()
    generator = np.random.default_rng(0)
    with PackWriter(folder, settings.prepare(short_side=40)) as writer:
        for _ in range(6):
            writer.add(generator.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    rows = [Row(n, f"{n}.png", "", "ab"[n % 2], ["train", "val"][n // 3], 40, 40) for n in range(6)]
    manifest.write(rows, folder)
    return Prepared(folder)


def params(folder: Path, **backbone: Any) -> Params:
    given = {"name": BACKBONE, "weights": "none", "image_size": 32, **backbone}
    uri = f"sqlite:///{folder / 'mlruns/mlflow.db'}"
    return settings.PARAMS.model_copy(
        update={
            "backbone": settings.PARAMS.backbone.model_copy(update=given),
            "tracking": settings.PARAMS.tracking.model_copy(update={"uri": uri}),
        }
    )


def test_the_cut_is_proved_in_float32(
    tmp_path: Path, data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_cut, seen = block_chain.check_cut, []

    def watched(*given: Any) -> None:
        seen.append((torch.is_autocast_enabled("cpu"), torch.backends.cudnn.allow_tf32))
        check_cut(*given)

    monkeypatch.setattr(block_chain, "check_cut", watched)
    given = params(tmp_path)
    with torch.autocast("cpu", torch.bfloat16):
        begin(given, given.head, data, parent="")
    assert seen == [(False, False)]


def test_a_model_converts_samples_as_the_packed_images_were_converted(
    tmp_path: Path, data: Prepared
) -> None:
    given = params(tmp_path)
    for pixel_range in ("type", (0.0, 4095.0)):
        folder = tmp_path / str(pixel_range)
        folder.mkdir()
        config = settings.prepare(short_side=40, range=pixel_range)
        with PackWriter(folder, config) as writer:
            for _ in data.manifest.rows:
                writer.add(np.zeros((40, 40, 3), np.uint8))
        manifest.write(data.manifest.rows, folder)
        _, spec = begin(given, given.head, Prepared(folder), parent="")
        assert spec.preprocessing.pixel_range == pixel_range


@pytest.mark.parametrize("pixels", ["reduced", "all"])
def test_a_model_decodes_jpegs_as_those_of_the_pack_were_decoded(
    tmp_path: Path, data: Prepared, pixels: str
) -> None:
    folder = tmp_path / pixels
    folder.mkdir()
    with PackWriter(folder, settings.prepare(short_side=40, jpeg_pixels=pixels)) as writer:
        for _ in data.manifest.rows:
            writer.add(np.zeros((40, 40, 3), np.uint8))
    manifest.write(data.manifest.rows, folder)
    given = params(tmp_path)
    _, spec = begin(given, given.head, Prepared(folder), parent="")
    assert spec.preprocessing.jpeg_pixels == pixels


def test_a_model_that_is_trained_on_a_pack_of_an_earlier_version_cuts_values_off(
    tmp_path: Path, data: Prepared
) -> None:
    settings_file = tmp_path / "prepared" / SETTINGS
    content = json.loads(settings_file.read_text())
    del content["range"]
    settings_file.write_text(json.dumps(content))
    given = params(tmp_path)
    _, spec = begin(given, given.head, Prepared(tmp_path / "prepared"), parent="")
    assert spec.preprocessing.pixel_range == "clip"


def registered(folder: Path, form: str) -> tuple[Classifier, ModelSpec]:
    """Version 1 of `dev`, in the form that `fold_bn` left it in, or not folded at all."""
    model_directory(folder / "plain")
    classifier, spec = directory.load(folder / "plain")
    if form == "merged":
        batchnorm.fold_all(classifier)
        spec = spec.after("unfreeze", classifier, [1])
        pairs = batchnorm.merge_pairs(classifier, torch.zeros(1, 3, 32, 32))
        batchnorm.merge(classifier, pairs)
        spec = spec.model_copy(update={"merged": pairs})
    spec = directory.save(classifier, spec, folder / "registered")
    _, experiment = connect(params(folder).tracking)
    with mlflow.start_run(experiment_id=experiment):
        record = ModelRecord(spec.digest, {"accuracy": 0.5})
        register("dev", folder / "registered", record, image())
    return classifier, spec


def test_without_a_registered_model_the_zoo_gives_the_backbone(
    tmp_path: Path, data: Prepared
) -> None:
    given = params(tmp_path)
    assert parent_of(given) == ""
    classifier, spec = begin(given, given.head, data, "")
    assert [parent.stage for parent in spec.parents] == ["backbone"]
    assert spec.classes == ["a", "b"]
    assert spec.blocks == len(classifier.blocks)
    directory.save(classifier, spec, tmp_path / "model")
    directory.load(tmp_path / "model")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "merged"])
def test_a_registered_model_gives_its_blocks_and_its_parents(
    tmp_path: Path, data: Prepared, form: str
) -> None:
    source, parent_spec = registered(tmp_path, form)
    given = params(tmp_path, weights="models:/dev@champion")
    parent = parent_of(given)
    assert parent == "models:/dev/1"
    classifier, spec = begin(given, given.head, data, parent)
    inputs = torch.randn(2, 3, 32, 32)
    count = len(source.blocks)
    with torch.no_grad():
        expected = source.part(0, count)(inputs)
        assert torch.equal(classifier.part(0, count)(inputs), expected)
    assert spec.parents[-1].stage == "models:/dev/1"
    assert spec.parents[-1].digest == parent_spec.digest
    assert spec.parents[:-1] == parent_spec.parents
    assert spec.classes == ["a", "b"]
    directory.save(classifier, spec, tmp_path / "child")
    again, _ = directory.load(tmp_path / "child")
    with torch.no_grad():
        assert torch.equal(again(inputs), classifier(inputs))


@pytest.mark.slow
def test_a_registered_model_is_seen_through_its_own_normalisation(
    tmp_path: Path, data: Prepared
) -> None:
    model_directory(tmp_path / "plain")
    classifier, spec = directory.load(tmp_path / "plain")
    own = spec.preprocessing.model_copy(
        update={"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "interpolation": "bilinear"}
    )
    assert own != spec.preprocessing
    spec = directory.save(
        classifier, spec.model_copy(update={"preprocessing": own}), tmp_path / "registered"
    )
    _, experiment = connect(params(tmp_path).tracking)
    with mlflow.start_run(experiment_id=experiment):
        register(
            "dev", tmp_path / "registered", ModelRecord(spec.digest, {"accuracy": 0.5}), image()
        )
    given = params(tmp_path, weights="models:/dev/1")
    _, child = begin(given, given.head, data, parent_of(given))
    assert child.preprocessing.mean == own.mean
    assert child.preprocessing.std == own.std
    assert child.preprocessing.interpolation == own.interpolation


@pytest.mark.slow
def test_a_head_on_lower_blocks_of_a_registered_model(tmp_path: Path, data: Prepared) -> None:
    registered(tmp_path, "merged")
    given = params(tmp_path, weights="models:/dev/1")
    head = settings.head(taps=[1, 3])
    classifier, spec = begin(given, head, data, parent_of(given))
    assert len(classifier.blocks) == 3
    directory.save(classifier, spec, tmp_path / "child")
    again, _ = directory.load(tmp_path / "child")
    inputs = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(inputs), classifier(inputs))


@pytest.mark.slow
def test_another_backbone_is_refused(tmp_path: Path, data: Prepared) -> None:
    registered(tmp_path, "plain")
    given = params(tmp_path, weights="models:/dev/1", name="timm/test_vit")
    with pytest.raises(ThawError, match=r"backbone\.name: models:/dev/1 is a timm/test_eff.*, not"):
        begin(given, given.head, data, parent_of(given))
