from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from filelock import FileLock
from torch import nn

from tests import settings, tiny
from tests.training import phase
from thaw.data import manifest
from thaw.data.loading import ActivationSource, ImageSource
from thaw.data.manifest import Row
from thaw.data.packed_store import PackWriter
from thaw.data.prepared import Prepared
from thaw.errors import ThawError
from thaw.model.frozen_part import FrozenPart
from thaw.training.activation_cache import Cache, cache_of
from thaw.training.cached_activations import CachedActivations
from thaw.training.phase_inputs import PhaseInputs, phase_inputs

if TYPE_CHECKING:
    from pathlib import Path

    from thaw.model.classifier import Classifier
    from thaw.model.freeze_plan import BatchNormPolicy

SHAPES = {1: (8, 8, 8), 2: (8, 8, 8), 3: (16,)}


@pytest.fixture
def train(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "train")


@pytest.fixture
def val(tmp_path: Path) -> ImageSource:
    return phase.images(tmp_path / "val", phase.VAL)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 1e9, "data")


def lower(
    train: Any, cache: Cache, cut: int = 2, model: Classifier | None = None
) -> ActivationSource:
    frozen = FrozenPart((model or tiny.classifier()).part(0, cut))
    return CachedActivations(tiny.runtime(), cache).of(frozen, train, "train")


def files(cache: Cache) -> list[Path]:
    return sorted(cache.folder.glob("*.npy"))


@pytest.mark.parametrize("cut", SHAPES)
def test_cached_activations_are_those_of_the_network(
    cache: Cache, train: ImageSource, cut: int
) -> None:
    source = lower(train, cache, cut)
    places = np.arange(len(train))
    with torch.no_grad():
        images = train.finish(train.read(places), places, epoch=None)
        expected = tiny.classifier().part(0, cut)(images)
    assert expected.shape == (phase.TRAIN, *SHAPES[cut])
    torch.testing.assert_close(source.read(places), expected, rtol=1e-6, atol=1e-6)
    assert np.array_equal(source.targets, train.targets)


@pytest.mark.parametrize("cut", SHAPES)
@pytest.mark.parametrize("batch_norm", phase.POLICIES)
def test_cached_activations_train_to_the_weights_that_images_train_to(
    tmp_path: Path,
    cache: Cache,
    train: ImageSource,
    val: ImageSource,
    cut: int,
    batch_norm: BatchNormPolicy,
) -> None:
    made = []
    for folder, use in ((tmp_path / "images", 0), (tmp_path / "cached", cut)):
        model = phase.model(3 - cut, batch_norm)
        given = phase_inputs(tiny.runtime(), model, train, val, use, cache)
        progress = phase.fit(folder, model, given.pair, cut=given.cut)
        made.append((phase.state(model), [row.val_loss for row in progress.history]))
    (images, image_losses), (activations, activation_losses) = made
    for name, value in images.items():
        torch.testing.assert_close(activations[name], value, rtol=1e-6, atol=1e-6, msg=name)
    assert activation_losses == pytest.approx(image_losses, rel=1e-6)


def test_both_splits_are_cached_and_enter_at_the_cut(
    cache: Cache, train: ImageSource, val: ImageSource
) -> None:
    made = phase_inputs(tiny.runtime(), phase.model(1), train, val, 2, cache)
    assert made.cut == 2
    assert [type(source) for source in made.pair] == [ActivationSource, ActivationSource]
    assert [len(source) for source in made.pair] == [phase.TRAIN, phase.VAL]
    assert len(files(cache)) == 2


@pytest.mark.parametrize("taps", [(1, 3), (2, 3)])
def test_a_tap_below_the_cut_lowers_it(
    cache: Cache, train: ImageSource, val: ImageSource, taps: tuple[int, ...]
) -> None:
    model = phase.model(1)
    model.outline = replace(model.outline, taps=taps)
    assert phase_inputs(tiny.runtime(), model, train, val, 2, cache).cut == taps[0] - 1
    assert phase_inputs(tiny.runtime(), model, train, val, 3, cache).cut == 3  # all taps are pooled


@pytest.mark.parametrize("augmented", [False, True])
def test_nothing_is_cached_where_every_epoch_differs_or_nothing_is_frozen(
    tmp_path: Path, cache: Cache, val: ImageSource, augmented: bool
) -> None:
    train = phase.images(tmp_path / "some", augmented=augmented)
    cut = 2 if augmented else 0
    found = phase_inputs(tiny.runtime(), phase.model(3), train, val, cut, cache)
    assert found == PhaseInputs(train, val, 0)
    assert not cache.folder.exists()


def test_a_file_that_is_there_is_used(cache: Cache, train: ImageSource) -> None:
    first = lower(train, cache)
    dying = phase.Dying(train, 1)  # dies when it is read
    again = lower(dying, cache)
    places = np.arange(phase.TRAIN)
    assert torch.equal(again.read(places), first.read(places))


@pytest.mark.parametrize(("kept", "cut"), [(1, 2), (1, 3), (2, 3)])
def test_activations_of_a_lower_cut_are_reused_for_a_higher_cut(
    tmp_path: Path, cache: Cache, train: ImageSource, kept: int, cut: int
) -> None:
    lower(train, cache, kept)
    lower(phase.Dying(train, 1), cache, cut)  # dies when an image is read
    whole = Cache(tmp_path / "whole", 1e9, "data")
    lower(train, whole, cut)
    (expected,) = files(whole)
    assert (cache.folder / expected.name).read_bytes() == expected.read_bytes()


def test_activations_kept_above_a_tap_are_not_reused_for_a_higher_cut(
    cache: Cache, train: ImageSource
) -> None:
    model = tiny.classifier()
    lower(train, cache, 2, model)
    model.outline = replace(model.outline, taps=(2, 3))
    with pytest.raises(phase.Killed):
        lower(phase.Dying(train, 1), cache, 3, model)
    lower(train, cache, 1, model)
    lower(phase.Dying(train, 1), cache, 3, model)


def test_in_mixed_precision_every_cut_is_computed_from_the_images(
    cache: Cache, train: ImageSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that activations do not depend on the lower cut that happens to be kept."""
    monkeypatch.setattr(Accelerator, "mixed_precision", "bf16")
    lower(train, cache, 1)
    with pytest.raises(phase.Killed):
        lower(phase.Dying(train, 1), cache, 2)


def test_another_view_of_the_images_is_no_start(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = phase.images(tmp_path / "augmented", augmented=True)
    runtime, model = tiny.runtime(), tiny.classifier()
    read, whole = [], ImageSource.read

    def counted(source: ImageSource, places: Any) -> torch.Tensor:
        read.append(places)
        return whole(source, places)

    monkeypatch.setattr(ImageSource, "read", counted)
    for cut, epoch, needed in ((1, 1, True), (2, 1, False), (2, 2, True), (2, None, True)):
        read.clear()
        CachedActivations(runtime, cache).of(FrozenPart(model.part(0, cut)), train, "train", epoch)
        assert bool(read) == needed, (cut, epoch)


@pytest.mark.parametrize("change", ["a weight", "a statistic", "the cut", "the data", "the split"])
def test_the_file_name_depends_on_everything_that_determines_the_activations(
    cache: Cache, change: str
) -> None:
    runtime, model, split, cut = tiny.runtime(), tiny.classifier(), "train", 2
    before = cache.path(runtime, FrozenPart(model.part(0, cut)), split)
    if change == "a weight":
        next(model.blocks[0].parameters()).data[0, 0, 0, 0] += 1e-6
    elif change == "a statistic":
        next(model.blocks[0].buffers())[0] += 1e-6
    elif change == "the data":
        cache = Cache(cache.folder, cache.limit, "other")
    cut, split = (1 if change == "the cut" else 2), ("val" if change == "the split" else split)
    assert cache.path(runtime, FrozenPart(model.part(0, cut)), split) != before


@pytest.mark.parametrize("change", ["a weight", "a statistic"])
def test_a_tensor_of_the_modules_own_names_the_file_too(cache: Cache, change: str) -> None:
    norm = nn.BatchNorm2d(3)
    before = cache.path(tiny.runtime(), norm, "train")
    assert norm.running_mean is not None
    (norm.weight.data if change == "a weight" else norm.running_mean)[0] += 1e-6
    assert cache.path(tiny.runtime(), norm, "train") != before


def test_the_file_name_does_not_depend_on_the_layers_above_the_cut(cache: Cache) -> None:
    model = tiny.classifier()
    before = cache.path(tiny.runtime(), FrozenPart(model.part(0, 2)), "train")
    next(model.blocks[2].parameters()).data += 1
    next(model.head.parameters()).data += 1
    assert cache.path(tiny.runtime(), FrozenPart(model.part(0, 2)), "train") == before


def test_the_least_recently_used_go_first(cache: Cache, train: ImageSource) -> None:
    for cut in (1, 2):
        lower(train, cache, cut)
    oldest, newer = sorted(files(cache), key=lambda path: path.stat().st_mtime_ns)
    os.utime(newer, ns=(0, 0))
    os.utime(oldest, ns=(10**9, 10**9))  # used since
    size = oldest.stat().st_size
    limited = Cache(cache.folder, size + 5000, cache.data)
    lower(train, limited, 3)
    assert oldest in files(cache)
    assert newer not in files(cache)


def test_a_file_that_another_process_is_about_to_open_is_kept(
    cache: Cache, train: ImageSource
) -> None:
    lower(train, cache, 1)
    (opened,) = files(cache)
    with FileLock(opened.with_suffix(".lock")):
        lower(train, Cache(cache.folder, 0, cache.data), 2)
        assert opened in files(cache)
    lower(train, Cache(cache.folder, 0, cache.data), 3)
    assert opened not in files(cache)


def test_a_file_in_use_is_kept_even_above_the_size_limit(cache: Cache, train: ImageSource) -> None:
    lower(train, Cache(cache.folder, 0, cache.data))
    assert len(files(cache)) == 1


@pytest.mark.parametrize("at", [1, 2])
def test_a_kill_while_caching_leaves_no_file_that_would_be_used(
    tmp_path: Path, cache: Cache, train: ImageSource, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thaw.training.runtime._SCORE_BATCH", 8)  # several batches
    with pytest.raises(phase.Killed):
        lower(phase.Dying(train, at), cache)
    assert not files(cache)
    lower(train, cache)
    whole = Cache(tmp_path / "whole", 1e9, "data")
    lower(train, whole)
    assert files(cache)[0].read_bytes() == files(whole)[0].read_bytes()
    assert not list(cache.folder.glob("*.part"))


def test_two_that_need_the_same_compute_it_once(cache: Cache, train: ImageSource) -> None:
    read: list[int] = []

    class Counting(phase.Dying):
        def read(self, places: Any, *rest: Any) -> Any:
            read.append(len(places))
            return super().read(places, *rest)

    models = [tiny.classifier() for _ in range(2)]  # one after the other: they draw from one seed
    together = [
        threading.Thread(target=lower, args=(Counting(train), cache, 2, model)) for model in models
    ]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert sum(read) == phase.TRAIN


def test_two_processes_cache_what_one_does(
    cache: Cache, train: ImageSource, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (made,) = (phase.two_ranks(tmp_path_factory) / "activations").glob("*.npy")
    everything = lower(train, cache).read(np.arange(phase.TRAIN)).numpy()
    np.testing.assert_allclose(np.load(made), everything, rtol=1e-6, atol=1e-6)


def test_a_full_disk_is_a_line_with_path_and_bytes_and_leaves_nothing(
    cache: Cache, train: ImageSource
) -> None:
    cache.folder.mkdir()
    with tiny.full_disk(), pytest.raises(ThawError, match=r"could not write [\d,]+ bytes of act"):
        lower(train, cache)
    assert {path.suffix for path in cache.folder.iterdir()} <= {".lock"}
    assert len(lower(train, cache)) == phase.TRAIN


def test_partial_files_of_a_killed_process_are_deleted_but_not_those_being_written(
    cache: Cache, train: ImageSource
) -> None:
    cache.folder.mkdir()
    left, written = cache.folder / "left.part", cache.folder / "written.part"
    for path in (left, written):
        path.write_bytes(b"x" * 1000)
        os.utime(path, (0, 0))
    with FileLock(written.with_suffix(".lock")):
        lower(train, replace(cache, limit=1500))
    assert not left.exists()
    assert written.exists()


def test_the_same_images_packed_otherwise_are_other_data(tmp_path: Path) -> None:
    preprocessing = phase.images(tmp_path / "images").preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    names = set()
    encodings: tuple[Literal["raw", "jpeg"], ...] = ("raw", "jpeg")
    for encoding in encodings:
        folder = tmp_path / encoding
        folder.mkdir()
        with PackWriter(folder, settings.prepare(encoding=encoding)) as writer:
            writer.add(pixels)
        manifest.write([Row(0, "a.png", "digest", "a", "train", 8, 8)], folder)
        names.add(cache_of(folder, Prepared(folder), preprocessing, 1.0).data)
    assert len(names) == 2
