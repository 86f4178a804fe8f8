from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from tests import settings
from tests.training import phase
from thaw.errors import ThawError
from thaw.model import batchnorm, directory, zoo
from thaw.model.assembly import assemble
from thaw.model.classifier import Classifier
from thaw.model.sealed_files import SPEC
from thaw.model.spec import ModelSpec, Parent

if TYPE_CHECKING:
    from collections.abc import Callable

BACKBONE = "timm/test_efficientnet"
CLASSES = ["blue", "grün", "red, dark"]
FORMS = ("original", "partly affine", "affine", "merged")


def images() -> Tensor:
    return torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(1))


def made(
    form: str = "original", hidden: list[int] | None = None, taps: tuple[int, ...] = ()
) -> tuple[Classifier, ModelSpec]:
    """Return a model in evaluation mode, as the stages save it, and its spec."""
    backbone, _ = zoo.load(settings.backbone(BACKBONE))
    torch.manual_seed(0)
    config = settings.head_spec(hidden=hidden or [], dropout=0.1, taps=list(taps))
    model = assemble(backbone, config, len(CLASSES), image_size=phase.PREPROCESSING.image_size)
    for parameter in model.head.parameters():
        nn.init.normal_(parameter, std=0.1)
    model.train()(images() * 2 + 1)  # the running statistics are no longer those of a new network
    model.to(memory_format=torch.channels_last).eval()
    if form == "partly affine":
        batchnorm.fold_blocks(model.blocks, range(len(model.blocks) - 2, len(model.blocks)))
    elif form != "original":
        batchnorm.fold_all(model)
    folded = batchnorm.affine_names(model)
    pairs = batchnorm.merge_pairs(model, images()[:1]) if form == "merged" else []
    batchnorm.merge(model, pairs)
    spec = ModelSpec(
        backbone=BACKBONE,
        head=config,
        classes=CLASSES,
        preprocessing=phase.PREPROCESSING,
        blocks=len(model.blocks),
        trained=[2],
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
    assert read.model_copy(update={"digest": "", "files": {}}) == spec
    assert list(read.files) == [directory.WEIGHTS]
    assert read.batch_norm == ("affine" if form == "partly affine" else form)
    assert phase.differing(phase.state(model), phase.state(loaded)) == []
    assert [name for name, _ in loaded.named_modules()] == [
        name for name, _ in model.named_modules()
    ]
    with torch.no_grad():
        assert torch.equal(loaded(images()), model(images()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("taps", [(1, 3), (2,)])
def test_a_model_whose_head_reads_several_blocks_comes_back(
    tmp_path: Path, form: str, taps: tuple[int, ...]
) -> None:
    model, spec = made(form, taps=taps)
    directory.save(model, spec, tmp_path)
    loaded, _ = directory.load(tmp_path)
    assert len(loaded.blocks) == max(taps)
    with torch.no_grad():
        assert torch.equal(loaded(images()), model(images()))


@pytest.mark.parametrize("form", FORMS)
def test_a_backbone_from_a_model_keeps_its_form_under_a_new_head(tmp_path: Path, form: str) -> None:
    """Combine the blocks of one model and a new head, as a start from `models:/NAME@ALIAS`."""
    parent, spec = made(form)
    child = Classifier(parent.blocks, parent.pool, nn.Linear(parent.head[-1].in_features, 5))  # type: ignore[index]
    batchnorm.fold_all(child)  # as fold_bn does later
    described = spec.after("warmup_head", child, [1]).model_copy(
        update={"classes": list("abcde"), "head": settings.head_spec()}
    )
    child.head = nn.Sequential(nn.Dropout(0.0), child.head)
    directory.save(child.eval(), described, tmp_path)
    loaded, read = directory.load(tmp_path)
    assert set(read.folded) >= set(spec.folded)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images()), child(images()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", ["affine", "merged"])
def test_the_forms_agree_with_the_original(tmp_path: Path, form: str) -> None:
    directory.save(*made(form), tmp_path)
    with torch.no_grad():
        expected, logits = made()[0](images()), directory.load(tmp_path)[0](images())
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_saving_what_was_loaded_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    directory.save(*directory.load(folder), tmp_path / "again")
    for name in (directory.WEIGHTS, SPEC):
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
    with pytest.raises(ThawError, match=r"was changed or damaged.*`thaw repair` restores it"):
        directory.load(folder)


def test_a_missing_spec_is_named(folder: Path) -> None:
    (folder / SPEC).unlink()
    with pytest.raises(ThawError, match=rf"{folder} is not a model directory: it has no {SPEC}"):
        directory.load(folder)


def test_missing_weights_are_named_with_the_command_that_restores_them(folder: Path) -> None:
    (folder / directory.WEIGHTS).unlink()
    expected = rf"{folder} is not complete: it has no {directory.WEIGHTS}.*`thaw repair` restores"
    with pytest.raises(ThawError, match=expected):
        directory.load(folder)


@pytest.mark.parametrize("name", [directory.WEIGHTS, SPEC])
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EACCES, r"Permission denied; give yourself the permission to read it$"),
        (errno.EIO, r"the disk reports an error.*then run the same command$"),
    ],
)
def test_a_file_that_cannot_be_read_is_not_called_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, expected: str
) -> None:
    whole = Path.read_bytes

    def read(path: Path) -> bytes:
        if path.name == name:
            raise OSError(number, os.strerror(number), str(path))
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    with pytest.raises(ThawError, match=rf"{folder / name} cannot be read: .*{expected}"):
        directory.load(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ThawError,
        match=r"gone is not a model .*no model\.json: give the folder that has model\.json$",
    ):
        directory.load(tmp_path / "gone")


def test_a_model_inside_of_a_folder_is_proposed(folder: Path) -> None:
    with pytest.raises(ThawError, match=rf"has no model\.json: give {folder}$"):
        directory.load(folder.parent)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1}'])
def test_a_damaged_spec_is_refused(folder: Path, content: bytes) -> None:
    path = folder / SPEC
    path.write_bytes(content)
    with pytest.raises(ThawError, match=rf"{path} is damaged, or another version of thaw wrote it"):
        directory.load(folder)


def edit(folder: Path, change: Callable[[dict[str, Any]], object], *, seal: bool = True) -> None:
    """Change ``model.json``; with ``seal``, also write the digest of the changed file."""
    path = folder / SPEC
    spec = json.loads(path.read_text())
    change(spec)
    if seal:
        content = {key: value for key, value in spec.items() if key != "digest"}
        encoded = json.dumps(content, sort_keys=True).encode()
        spec["digest"] = hashlib.sha256(encoded).hexdigest()
    path.write_text(json.dumps(spec))


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(format=1),
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
    with pytest.raises(
        ThawError, match=r"model\.json is damaged, or another version of thaw wrote it"
    ):
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


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec["classes"].reverse(),
        lambda spec: spec["preprocessing"].update(crop_pct=0.5),
        lambda spec: spec["parents"].clear(),
        lambda spec: spec["files"].clear(),
        lambda spec: spec.update(digest="0" * 64),
        lambda spec: spec.update(digest=""),
    ],
    ids=["classes", "preprocessing", "parents", "files", "digest", "no digest"],
)
def test_a_changed_spec_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(folder, change, seal=False)
    with pytest.raises(ThawError, match=r"model\.json was changed or damaged"):
        directory.load(folder)


def test_the_digest_stands_for_the_spec_as_well_as_for_the_weights(tmp_path: Path) -> None:
    model, spec = made()
    first = directory.save(model, spec, tmp_path / "first")
    turned = spec.model_copy(update={"classes": spec.classes[::-1]})
    second = directory.save(model, turned, tmp_path / "second")
    assert first.files == second.files
    assert first.digest != second.digest


@pytest.mark.parametrize("name", ["/etc/passwd", "../model.safetensors", "code/loader.py", "x.pkl"])
def test_a_file_by_another_name_cannot_be_listed(folder: Path, name: str) -> None:
    edit(folder, lambda spec: spec["files"].update({name: "0" * 64}))
    with pytest.raises(
        ThawError, match=r"model\.json is damaged, or another version of thaw wrote it"
    ):
        directory.load(folder)


class Marker:
    """Unpickled, it leaves a file behind."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self._marker),)


@pytest.mark.parametrize("name", ["model.pkl", "data.pth", "loader.py", "__init__.py", ".hidden"])
def test_a_model_folder_with_an_additional_file_is_refused(
    folder: Path, tmp_path: Path, name: str
) -> None:
    marker = tmp_path / "marker"
    (folder / name).write_bytes(pickle.dumps(Marker(marker)))
    with pytest.raises(ThawError, match=rf"do not belong to a model: '{re.escape(name)}'"):
        directory.load(folder)
    assert not marker.exists()


def test_a_file_of_statistics_without_content_belongs_to_any_model(folder: Path) -> None:
    directory.write_no_statistics(folder)
    _, spec = directory.load(folder)
    assert directory.load_reference(folder, spec) is None
    assert list(spec.files) == [directory.WEIGHTS]
    (folder / directory.STATISTICS).write_bytes(directory.NO_STATISTICS + b" ")
    with pytest.raises(ThawError, match="do not belong to a model: 'statistics"):
        directory.load(folder)


def test_files_of_dvc_and_on_request_of_the_user_are_ignored(folder: Path) -> None:
    (folder / ".gitignore").write_text("/model.json")
    directory.load(folder)
    (folder / "notes.txt").write_text("of the user")
    (folder / "mine").mkdir()
    with pytest.raises(ThawError, match=r"do not belong to a model: 'mine', 'notes.*: move them"):
        directory.load(folder)
    _, spec = directory.load(folder, allow_others=True)
    with directory.only_files_of(folder, spec) as model:
        assert model.name == folder.name
        assert sorted(path.name for path in model.iterdir()) == ["model.json", directory.WEIGHTS]
        directory.load(model)
    assert not model.exists()
    assert (folder / directory.WEIGHTS).exists()


def test_a_pickle_of_the_marker_writes_its_file_when_it_is_loaded(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Marker(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("protocol", ["pickle", "torch"])
def test_a_pickle_in_the_place_of_the_weights_is_not_unpickled(
    folder: Path, tmp_path: Path, protocol: str
) -> None:
    marker, path = tmp_path / "marker", folder / directory.WEIGHTS
    if protocol == "pickle":
        path.write_bytes(pickle.dumps(Marker(marker)))
    else:
        torch.save(Marker(marker), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(folder, lambda spec: spec["files"].update({directory.WEIGHTS: digest}))
    with pytest.raises(ThawError, match=r"is not a safetensors file.*`thaw repair` restores it"):
        directory.load(folder)
    assert not marker.exists()


def test_a_pipe_in_the_place_of_the_weights_is_not_waited_for(folder: Path) -> None:
    (folder / directory.WEIGHTS).unlink()
    os.mkfifo(folder / directory.WEIGHTS)
    with pytest.raises(ThawError, match="is not complete"):
        directory.load(folder)


def test_a_link_is_read_as_what_it_leads_to_and_digested(folder: Path, tmp_path: Path) -> None:
    """DVC may link its outputs to its cache; a link to anything else has another digest."""
    weights = folder / directory.WEIGHTS
    weights.rename(tmp_path / "cached")
    weights.symlink_to(tmp_path / "cached")
    directory.load(folder)
    weights.unlink()
    weights.symlink_to("/etc/passwd")
    with pytest.raises(ThawError, match="was changed or damaged"):
        directory.load(folder)
