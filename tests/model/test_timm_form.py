from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import timm
import torch

from tests import calibrated, settings
from tests.stages import small
from thaw.model import batchnorm, directory, zoo
from thaw.model.assembly import assemble
from thaw.model.timm_form import save_timm_form

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec

SIZE = 32


@pytest.fixture
def model(tmp_path: Path) -> tuple[Classifier, ModelSpec]:
    """A small network of timm whose head is not zero."""
    small.save_model(tmp_path / "model", size=SIZE)
    return directory.load(tmp_path / "model")


def outputs(classifier: Classifier, spec: ModelSpec, folder: Path) -> tuple[torch.Tensor, ...]:
    """Return the logits of timm's form, as timm loads it, and those of the model."""
    folder.mkdir()
    assert save_timm_form(classifier, spec, folder)
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return network(images), classifier.eval()(images)


@pytest.mark.parametrize("form", ["original", "affine", "merged"])
def test_each_form_of_batchnorm_becomes_a_network_of_timm_with_the_same_logits(
    form: str, model: tuple[Classifier, ModelSpec], tmp_path: Path
) -> None:
    classifier, spec = model
    if form != "original":
        batchnorm.fold_all(classifier)
    if form == "merged":
        pairs = batchnorm.merge_pairs(classifier, torch.zeros(1, 3, SIZE, SIZE))
        batchnorm.merge(classifier, pairs)
        spec = spec.model_copy(update={"merged": pairs})
    found, expected = outputs(classifier, spec, tmp_path / "timm")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(calibrated.BOTH))
def test_the_calibration_becomes_part_of_the_classifier(
    kind: str, model: tuple[Classifier, ModelSpec], tmp_path: Path
) -> None:
    classifier, spec = model
    calibration = calibrated.BOTH[kind]
    spec = spec.model_copy(update={"calibration": calibration})
    found, plain = outputs(classifier, spec, tmp_path / "timm")
    expected = calibrated.mapped(plain.double(), calibration)
    torch.testing.assert_close(
        found.double().softmax(1), torch.as_tensor(expected), rtol=1e-4, atol=1e-5
    )


def test_the_configuration_has_the_classes_and_the_input(
    model: tuple[Classifier, ModelSpec], tmp_path: Path
) -> None:
    classifier, spec = model
    save_timm_form(classifier, spec, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architecture"] == "test_efficientnet"
    assert config["label_names"] == small.CLASSES
    assert config["pretrained_cfg"]["input_size"] == [3, SIZE, SIZE]
    assert config["pretrained_cfg"]["mean"] == pytest.approx(list(spec.preprocessing.mean))


def test_models_that_are_no_plain_networks_have_no_form_of_timm(
    model: tuple[Classifier, ModelSpec], tmp_path: Path
) -> None:
    classifier, spec = model
    assert not save_timm_form(classifier, spec.model_copy(update={"mirrored": True}), tmp_path)
    other = spec.model_copy(update={"backbone": "torchvision/resnet18"})
    assert not save_timm_form(classifier, other, tmp_path)
    backbone = zoo.load(settings.backbone(small.BACKBONE))[0]
    head = settings.head_spec().model_copy(update={"hidden": [8]})
    deep = assemble(backbone, head, 3, image_size=SIZE)
    assert not save_timm_form(deep, spec.model_copy(update={"head": head}), tmp_path)
    assert list(tmp_path.glob("*.safetensors")) == []
