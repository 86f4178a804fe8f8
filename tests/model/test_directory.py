from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from tests import settings
from tests.training import phase
from thaw.errors import ThawError
from thaw.model import batchnorm, directory, head, zoo
from thaw.model.blocks import Classifier
from thaw.model.directory import Parent, Spec
from thaw.model.freeze import apply, last_blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BACKBONE = "timm/test_efficientnet"
CLASSES = ["blue", "grün", "red, dark"]
FORMS = ("original", "partly affine", "affine", "merged")


def images() -> Tensor:
    return torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(1))


def made(form: str = "original", hidden: list[int] | None = None) -> tuple[Classifier, Spec]:
    """A model in evaluation mode, as stages leave one, and the spec that describes it."""
    torch.manual_seed(0)
    backbone = zoo.build(BACKBONE)
    config = settings.head(hidden=hidden or [], dropout=0.1)
    top = head.build(config, backbone.features, len(CLASSES))
    model = Classifier(backbone.blocks, backbone.pool, top)
    for parameter in top.parameters():
        nn.init.normal_(parameter, std=0.1)
    model.train()(images() * 2 + 1)  # the running statistics are no longer those of a new network
    model.to(memory_format=torch.channels_last).eval()
    if form == "partly affine":
        apply(model, last_blocks(2, len(model.blocks), "affine"))
    elif form != "original":
        batchnorm.fold_all(model)
    folded = batchnorm.affine_names(model)
    pairs = batchnorm.merge_pairs(model, images()[:1]) if form == "merged" else []
    batchnorm.merge(model, pairs)
    spec = Spec(
        backbone=BACKBONE,
        head=config,
        classes=CLASSES,
        preprocessing=phase.PREPROCESSING,
        depth=2,
        folded=folded,
        merged=pairs,
        parents=[Parent(stage="backbone", digest="0" * 64)],
    )
    return model, spec


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved model."""
    model, spec = made()
    directory.save(model, spec, tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("hidden", [[], [8]])
@pytest.mark.parametrize("form", FORMS)
def test_a_model_comes_back_to_the_bit(tmp_path: Path, form: str, hidden: list[int]) -> None:
    model, spec = made(form, hidden)
    saved = directory.save(model, spec, tmp_path / "models" / "unfreeze")
    loaded, read = directory.load(tmp_path / "models" / "unfreeze")
    assert read == saved
    assert read.model_copy(update={"digest": ""}) == spec
    assert read.batch_norm == ("affine" if form == "partly affine" else form)
    assert phase.differing(phase.state(model), phase.state(loaded)) == []
    assert [name for name, _ in loaded.named_modules()] == [
        name for name, _ in model.named_modules()
    ]
    with torch.no_grad():
        assert torch.equal(loaded(images()), model(images()))


@pytest.mark.parametrize("form", ["affine", "merged"])
def test_the_forms_agree_with_the_original(tmp_path: Path, form: str) -> None:
    directory.save(*made(form), tmp_path)
    with torch.no_grad():
        expected, logits = made()[0](images()), directory.load(tmp_path)[0](images())
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_saving_what_was_loaded_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    directory.save(*directory.load(folder), tmp_path / "again")
    for name in (directory.WEIGHTS, directory.SPEC):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_loaded_model_is_whole_in_evaluation_mode_and_can_be_trained(folder: Path) -> None:
    model, _ = directory.load(folder)
    assert not any(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.plan is None


def test_loading_does_not_depend_on_a_draw(folder: Path) -> None:
    torch.manual_seed(1)
    first, _ = directory.load(folder)
    torch.manual_seed(2)
    second, _ = directory.load(folder)
    assert phase.differing(phase.state(first), phase.state(second)) == []


def test_only_two_files_are_written(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_byte_of_the_weights_is_refused(folder: Path, place: int) -> None:
    path = folder / directory.WEIGHTS
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ThawError, match=rf"{path} was changed or damaged.*model\.json"):
        directory.load(folder)


def test_weights_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    directory.save(*made("affine"), tmp_path / "other")
    (tmp_path / "other" / directory.WEIGHTS).replace(folder / directory.WEIGHTS)
    with pytest.raises(ThawError, match="was changed or damaged"):
        directory.load(folder)


@pytest.mark.parametrize("name", [directory.WEIGHTS, directory.SPEC])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ThawError, match=rf"{folder} is no model directory: it has no {name}"):
        directory.load(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ThawError, match=r"gone is no model directory: it has no model\.json"):
        directory.load(tmp_path / "gone")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1}'])
def test_a_damaged_spec_is_refused(folder: Path, content: bytes) -> None:
    path = folder / directory.SPEC
    path.write_bytes(content)
    with pytest.raises(ThawError, match=rf"{path} is damaged or of another version"):
        directory.load(folder)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / directory.SPEC
    spec = json.loads(path.read_text())
    change(spec)
    path.write_text(json.dumps(spec))


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(format=2),
        lambda spec: spec.update(colour="red"),
        lambda spec: spec.update(classes="blue"),
        lambda spec: spec.pop("head"),
        lambda spec: spec["head"].update(dropout=2.0),
        lambda spec: spec["preprocessing"].update(interpolation="nearest"),
    ],
    ids=["format", "unknown key", "type", "missing key", "range", "choice"],
)
def test_a_spec_of_another_version_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(folder, change)
    with pytest.raises(ThawError, match=r"model\.json is damaged or of another version"):
        directory.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec["classes"].pop(),
        lambda spec: spec["head"].update(hidden=[8]),
        lambda spec: spec.update(backbone="timm/mobilenetv2_035"),
        lambda spec: spec.update(folded=["blocks.0.1"]),
        lambda spec: spec.update(folded=["blocks.77.bn1"]),
        lambda spec: spec.update(folded=["blocks.0"]),
        lambda spec: spec.update(merged=[["blocks.0.0", "blocks.0.1"]]),
    ],
    ids=["class", "head", "backbone", "folded", "folded, no such", "folded, no norm", "merged"],
)
def test_a_spec_that_does_not_fit_the_weights_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(folder, change)
    with pytest.raises(ThawError, match=str(folder)):
        directory.load(folder)
