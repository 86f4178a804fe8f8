from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests import tiny
from tests.damage import KINDS, damaged
from tests.training import phase
from tests.training.lower_activations import files, lower
from thaw.data.loading import ImageSource
from thaw.errors import ThawError
from thaw.model.frozen_part import FrozenPart
from thaw.system.checksums import is_sealed
from thaw.training import cached_activations
from thaw.training.activation_cache import Cache
from thaw.training.cached_activations import CachedActivations
from thaw.training.precision import Precision

if TYPE_CHECKING:
    from pathlib import Path


SHAPES = {1: (8, 8, 8), 2: (8, 8, 8), 3: (16,)}


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


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cache, ImageSource]:
    folder = tmp_path_factory.mktemp("computed")
    cache, train = Cache(folder / "cache", 1e9, "data"), phase.images(folder / "train")
    lower(train, cache)
    return cache, train


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [2, 3], ids=["the file itself", "the file of a lower cut"])
def test_a_damaged_file_is_computed_again(
    computed: tuple[Cache, ImageSource], cut: int, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, train = computed
    (path,) = files(cache)
    before = path.read_bytes()
    places = np.arange(phase.TRAIN)
    expected = lower(train, cache, cut).read(places)
    for other in set(files(cache)) - {path}:
        other.unlink()
    path.write_bytes(damaged(before, kind))
    found = lower(train, cache, cut).read(places)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert f"{path} is damaged" in capsys.readouterr().err.replace("\n", "")
    for other in files(cache):
        other.unlink()
    path.write_bytes(before)


def test_a_file_is_compared_with_its_checksum_once(
    cache: Cache, train: ImageSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower(train, cache)
    read: list[Path] = []

    def recorded(path: Path) -> bool:
        read.append(path)
        return is_sealed(path)

    monkeypatch.setattr(cached_activations, "is_sealed", recorded)
    known = CachedActivations(tiny.runtime(), cache)
    for _ in range(3):
        known.of(FrozenPart(tiny.classifier().part(0, 2)), train, "train")
    assert read == files(cache)


def test_activations_that_are_not_finite_are_refused(cache: Cache, train: ImageSource) -> None:
    model = tiny.classifier()
    with torch.no_grad():
        model.blocks[1][0].weight.fill_(3e38)  # type: ignore[index]
    lower(train, cache, 1, model)
    with pytest.raises(ThawError, match=r"not finite, computed in fp32: set launch\.precision"):
        lower(train, cache, 2, model)
    assert len(files(cache)) == 1


class FullCache(Cache):
    """A cache that another command makes smaller as soon as a file of it was opened."""

    def note_use(self, path: Path) -> None:
        Cache(self.folder, 0, self.data).trim(keep=self.folder / "other.npy")
        super().note_use(path)


def test_a_file_that_was_just_opened_is_not_removed_before_its_use_is_noted(
    cache: Cache, train: ImageSource
) -> None:
    first = lower(train, cache)
    again = lower(phase.Dying(train, 1), FullCache(cache.folder, cache.limit, cache.data))
    places = np.arange(phase.TRAIN)
    assert torch.equal(again.read(places), first.read(places))
    assert len(files(cache)) == 1


def test_an_existing_file_is_used(cache: Cache, train: ImageSource) -> None:
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
    half = replace(tiny.runtime(), precision=Precision("bf16"))
    monkeypatch.setattr(tiny, "runtime", lambda: half)
    lower(train, cache, 1)
    with pytest.raises(phase.Killed):
        lower(phase.Dying(train, 1), cache, 2)


def test_in_tf32_a_lower_cut_is_reused(
    cache: Cache, train: ImageSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded = replace(tiny.runtime(), precision=Precision("tf32"))
    monkeypatch.setattr(tiny, "runtime", lambda: rounded)
    lower(train, cache, 1)
    lower(phase.Dying(train, 1), cache, 2)  # dies when an image is read


def test_activations_of_another_view_are_not_reused(
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


@pytest.mark.parametrize("at", [1, 2])
def test_a_kill_while_caching_leaves_no_file_that_would_be_used(
    tmp_path: Path, cache: Cache, train: ImageSource, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thaw.training.runtime.SCORE_BATCH", 8)  # several batches
    with pytest.raises(phase.Killed):
        lower(phase.Dying(train, at), cache)
    assert not files(cache)
    lower(train, cache)
    whole = Cache(tmp_path / "whole", 1e9, "data")
    lower(train, whole)
    assert files(cache)[0].read_bytes() == files(whole)[0].read_bytes()
    assert not list(cache.folder.glob("*.part"))


def test_two_threads_that_need_the_same_activations_compute_them_once(
    cache: Cache, train: ImageSource
) -> None:
    read: list[int] = []

    class Counting(phase.Dying):
        def read(self, places: Any, *rest: Any) -> Any:
            read.append(len(places))
            return super().read(places, *rest)

    models = [tiny.classifier() for _ in range(2)]  # not in the threads: both draw from one seed
    together = [
        threading.Thread(target=lower, args=(Counting(train), cache, 2, model)) for model in models
    ]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert sum(read) == phase.TRAIN


@pytest.mark.pipelines
def test_two_processes_cache_the_same_activations_as_one(
    cache: Cache, train: ImageSource, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (made,) = (phase.two_ranks(tmp_path_factory) / "activations").glob("*.npy")
    everything = lower(train, cache).read(np.arange(phase.TRAIN)).numpy()
    np.testing.assert_allclose(np.load(made), everything, rtol=1e-6, atol=1e-6)


def test_a_full_disk_is_reported_with_the_bytes_and_leaves_no_file(
    cache: Cache, train: ImageSource
) -> None:
    cache.folder.mkdir()
    with tiny.full_disk(), pytest.raises(ThawError, match=r"could not write [\d,]+ bytes of act"):
        lower(train, cache)
    assert {path.suffix for path in cache.folder.iterdir()} <= {".lock"}
    assert len(lower(train, cache)) == phase.TRAIN
